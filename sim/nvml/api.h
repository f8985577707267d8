// What is used of NVIDIA's management library, declared by hand, so that no header of NVIDIA is
// needed to build, and loaded at run time, so that none of its libraries is needed to start.
//   source: NVIDIA, NVML API reference (nvml.h of CUDA 13); names, values and layouts stay as they
//   were when they came, and what changed has a new name
#pragma once

#include <cstdint>
#include <string>

namespace tplab::nvml {

// nvmlReturn_t. Values that this build does not know may come, too.
enum Status : int {
  kSuccess = 0,
  kNotSupported = 3,
  kNoPermission = 4,
  kInsufficientSize = 7,
  kDriverNotLoaded = 9,
  kFunctionNotFound = 13,  // also what is said here of a function that the library lacks
  kGpuIsLost = 15,
  kLibraryVersionMismatch = 18,
};

using Device = struct DeviceOfLibrary*;  // nvmlDevice_t

struct Memory {  // nvmlMemory_t: `used` counts what is reserved
  unsigned long long total, free, used;
};

struct MemoryV2 {  // nvmlMemory_v2_t
  unsigned int version = sizeof(MemoryV2) | 2u << 24;
  unsigned long long total = 0, reserved = 0, free = 0, used = 0;
};

struct Utilization {  // nvmlUtilization_t: percent of the last sixth of a second to a second
  unsigned int gpu, memory;
};

struct TemperatureV1 {  // nvmlTemperature_v1_t
  unsigned int version = sizeof(TemperatureV1) | 1u << 24;
  unsigned int sensor = 0;  // NVML_TEMPERATURE_GPU
  int celsius = 0;
};

struct ProcessInfoV1 {  // nvmlProcessInfo_v1_t, before driver 450
  unsigned int pid;
  unsigned long long used_bytes;
};

struct ProcessInfo {  // nvmlProcessInfo_v2_t, which _v3 takes, too
  unsigned int pid;
  unsigned long long used_bytes;  // kNotAvailable where the driver does not say
  unsigned int gpu_instance, compute_instance;
};

inline constexpr unsigned long long kNotAvailable = ~0ull;     // NVML_VALUE_NOT_AVAILABLE
inline constexpr unsigned int kClockSm = 1, kClockMemory = 2;  // nvmlClockType_t
inline constexpr unsigned int kTextBytes = 96;                 // as long as names and UUIDs may be

// The library's functions by their names there without the "nvml". Null: this driver has none.
struct Functions {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  const char* (*error_string)(int) = nullptr;
  int (*driver_version)(char*, unsigned int) = nullptr;
  int (*process_name)(unsigned int pid, char*, unsigned int) = nullptr;
  int (*count)(unsigned int*) = nullptr;
  int (*handle_by_index)(unsigned int, Device*) = nullptr;
  int (*name)(Device, char*, unsigned int) = nullptr;
  int (*uuid)(Device, char*, unsigned int) = nullptr;
  int (*memory)(Device, Memory*) = nullptr;
  int (*memory_v2)(Device, MemoryV2*) = nullptr;
  int (*utilization)(Device, Utilization*) = nullptr;
  int (*temperature)(Device, unsigned int sensor, unsigned int*) = nullptr;
  int (*temperature_v)(Device, TemperatureV1*) = nullptr;
  int (*power_usage)(Device, unsigned int* milliwatts) = nullptr;
  int (*power_limit)(Device, unsigned int* milliwatts) = nullptr;
  int (*clock)(Device, unsigned int type, unsigned int* mhz) = nullptr;
  int (*clock_reasons)(Device, unsigned long long*) = nullptr;
  int (*processes)(Device, unsigned int* count, ProcessInfo*) = nullptr;
  int (*processes_v1)(Device, unsigned int* count, ProcessInfoV1*) = nullptr;
  int (*mig_mode)(Device, unsigned int* current, unsigned int* pending) = nullptr;
  int (*mig_count)(Device, unsigned int*) = nullptr;
  int (*mig_by_index)(Device, unsigned int, Device*) = nullptr;
  int (*gpu_instance)(Device, unsigned int*) = nullptr;
  int (*compute_instance)(Device, unsigned int*) = nullptr;
};

inline constexpr const char* kLibraryName = "libnvidia-ml.so.1";  // as the driver installs it

// The library, initialised. Threads: its functions may be called from any.
class Library {
 public:
  // Throws Error(unavailable) where there is no library, no driver, or two that do not fit.
  explicit Library(const std::string& name);
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  const Functions& functions() const { return functions_; }
  std::string reason(int status) const;  // "Not Supported", in the library's words

  // What the function returns, or kFunctionNotFound for one that the library lacks.
  template <class... Parameters, class... Arguments>
  static int call(int (*function)(Parameters...), Arguments... arguments) {
    return function ? function(arguments...) : int{kFunctionNotFound};
  }

 private:
  void* handle_;
  Functions functions_;
};

}  // namespace tplab::nvml
