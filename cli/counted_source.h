// Weights whose loading shows a progress bar.
#pragma once

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>

#include "cli/command.h"
#include "model/weights.h"

namespace tplab::cli {

// Passes reads on to another source and draws how much of `expected` numbers they have asked for.
class CountedSource final : public WeightSource {
 public:
  CountedSource(const WeightSource& source, int64_t expected, Progress& progress)
      : source_(source), expected_(expected), progress_(progress) {}

  const Architecture& architecture() const override { return source_.architecture(); }
  std::string description() const override { return source_.description(); }
  std::string stored_dtype() const override { return source_.stored_dtype(); }
  std::vector<std::string> notes() const override { return source_.notes(); }
  void read(std::string_view parameter, const Slice& slice, HostSpan out) const override {
    source_.read(parameter, slice, out);
    const int64_t done = (read_ += slice.count());
    const std::unique_lock lock(drawing_, std::try_to_lock);
    if (lock) progress_.show("loading the weights", fraction(done));
  }

 private:
  double fraction(int64_t done) const {
    return std::min(1.0, static_cast<double>(done) / static_cast<double>(expected_));
  }

  const WeightSource& source_;
  int64_t expected_;
  mutable std::atomic<int64_t> read_ = 0;
  mutable std::mutex drawing_;
  Progress& progress_;
};

}  // namespace tplab::cli
