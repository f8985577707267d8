// GPUs watched for a while: averages, peaks, and how unevenly the work was shared out.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "sim/nvml/gpus.h"

namespace tplab {

// Of one quantity of one GPU, over the readings that had it. Absent if none had.
struct WatchedQuantity {
  std::optional<double> average, peak;
  // Of the average, among the GPUs that count (machine/imbalance.h).
  std::optional<double> imbalance;
  int64_t readings = 0;
};

struct GpuSummary {
  std::string number;
  std::optional<std::string> name, uuid;
  bool counts = true;  // among those whose imbalance is of interest: false for what CUDA hides
  WatchedQuantity utilisation_percent, memory_used_bytes, power_w, temperature_c;
  std::vector<std::string> throttle_reasons;  // all that there were, "idle" aside
  std::vector<GpuReading::Missing> errors;    // each once
};

// Adds readings up; keeps none of them.
class GpuWatch {
 public:
  // counts: for each reading, whether it takes part in the imbalance. A GPU is known by its number.
  void add(const std::vector<GpuReading>& readings, const std::vector<bool>& counts);
  int64_t samples() const { return samples_; }
  std::vector<GpuSummary> summaries() const;  // in the order in which they came

 private:
  int64_t samples_ = 0;
  std::vector<GpuSummary> gpus_;  // of a quantity, `average` is the sum so far
};

// Calls take() on a thread of its own, every so often, until stop() or the end of its life. One
// that comes late is not made up for.
class Ticker {
 public:
  // Throws std::system_error where there are no more threads. What take throws ends the calls.
  Ticker(std::chrono::duration<double> every, std::function<void()> take);
  ~Ticker() { join(); }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;
  void stop();  // returns when no call runs; rethrows what take threw

 private:
  void join();
  void run(std::chrono::duration<double> every, const std::function<void()>& take);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::exception_ptr failed_;
  std::thread thread_;
};

}  // namespace tplab
