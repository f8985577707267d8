// The GPUs of this machine as the driver tells of them, through NVML.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/nvml/api.h"

namespace tplab {

struct GpuProcess {
  int64_t pid = 0;
  std::optional<std::string> name;  // its program, with the path
  std::optional<int64_t> memory_bytes;
};

// One GPU, or one MIG device of it, at one moment. What the driver does not give is absent, never
// 0, and `missing` says why.
struct GpuReading {
  std::string number;  // NVML's: "0"; a MIG device of it: "0.1". Not CUDA's (visible_gpus.h)
  bool is_mig_device = false;
  std::optional<std::string> name, uuid;
  std::optional<bool> mig_mode;                           // of a GPU: whether it is divided
  std::optional<int64_t> gpu_instance, compute_instance;  // of a MIG device
  std::optional<int64_t> memory_total_bytes, memory_used_bytes, memory_free_bytes;
  std::optional<int64_t> memory_reserved_bytes;  // by the driver. Where this is absent, used has it
  std::optional<int64_t> utilisation_percent;    // of the last second or less: a kernel was running
  std::optional<int64_t> temperature_c;
  std::optional<double> power_w, power_limit_w;
  std::optional<int64_t> sm_clock_mhz, memory_clock_mhz;
  std::optional<std::vector<std::string>> throttle_reasons;  // why its clocks are not higher
  std::optional<std::vector<GpuProcess>> processes;          // that compute on it

  struct Missing {
    std::string field;  // "temperature_c"; "memory" for all four
    std::string why;    // "Not Supported"
    bool is_error;      // no mere "this GPU has none": the GPU is lost, a right is missing
  };
  std::vector<Missing> missing;
};

// What a mask of nvmlClocksEventReasons says; an unknown bit is named by its number.
std::vector<std::string> throttle_reasons(unsigned long long mask);

class Gpus {
 public:
  // library: a name or path for dlopen. Throws what nvml::Library does, and Error(unavailable)
  // where the driver shows no GPU.
  explicit Gpus(const std::string& library = nvml::kLibraryName);

  const std::optional<std::string>& driver_version() const { return driver_version_; }
  // Every GPU, each followed by its MIG devices. Never throws for what a driver says: a GPU that
  // is lost is a row whose fields are missing.
  std::vector<GpuReading> read() const;

 private:
  struct Gpu {
    nvml::Device handle = nullptr;
    int status = nvml::kSuccess;  // of asking for the handle
    GpuReading identity;          // what does not change: name, UUID; so that a lost one has them
  };
  nvml::Library library_;
  std::optional<std::string> driver_version_;
  std::vector<Gpu> gpus_;
};

}  // namespace tplab
