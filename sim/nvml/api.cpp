#include "sim/nvml/api.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <initializer_list>

#include "sim/error.h"

namespace tplab::nvml {

namespace {

// The first of these names that the library has.
template <class Function>
void find(void* library, Function& function, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function) return;
  }
}

Functions find_all(void* library) {
  Functions f;
  find(library, f.init, {"nvmlInit_v2", "nvmlInit"});
  find(library, f.shutdown, {"nvmlShutdown"});
  find(library, f.error_string, {"nvmlErrorString"});
  find(library, f.driver_version, {"nvmlSystemGetDriverVersion"});
  find(library, f.process_name, {"nvmlSystemGetProcessName"});
  find(library, f.count, {"nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"});
  find(library, f.handle_by_index, {"nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"});
  find(library, f.name, {"nvmlDeviceGetName"});
  find(library, f.uuid, {"nvmlDeviceGetUUID"});
  find(library, f.memory, {"nvmlDeviceGetMemoryInfo"});
  find(library, f.memory_v2, {"nvmlDeviceGetMemoryInfo_v2"});
  find(library, f.utilization, {"nvmlDeviceGetUtilizationRates"});
  find(library, f.temperature, {"nvmlDeviceGetTemperature"});  // goes with CUDA 14
  find(library, f.temperature_v, {"nvmlDeviceGetTemperatureV"});
  find(library, f.power_usage, {"nvmlDeviceGetPowerUsage"});
  find(library, f.power_limit, {"nvmlDeviceGetEnforcedPowerLimit"});
  find(library, f.clock, {"nvmlDeviceGetClockInfo"});
  find(library, f.clock_reasons,
       {"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"});
  find(library, f.processes,
       {"nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"});
  find(library, f.processes_v1, {"nvmlDeviceGetComputeRunningProcesses"});
  find(library, f.mig_mode, {"nvmlDeviceGetMigMode"});
  find(library, f.mig_count, {"nvmlDeviceGetMaxMigDeviceCount"});
  find(library, f.mig_by_index, {"nvmlDeviceGetMigDeviceHandleByIndex"});
  find(library, f.gpu_instance, {"nvmlDeviceGetGpuInstanceId"});
  find(library, f.compute_instance, {"nvmlDeviceGetComputeInstanceId"});
  return f;
}

constexpr const char* kNoGpu =
    "install NVIDIA's driver, or start the container with its GPUs (`docker run --gpus all`); "
    "virtual ranks need none: tplab monitor --preset nano-cpu --tp 4";

std::string fix_of(int status) {
  switch (status) {
    case kDriverNotLoaded:
      return "load the driver (sudo modprobe nvidia), or reboot after installing it";
    case kLibraryVersionMismatch:
      return "reboot, or unload and load the kernel's module nvidia: the driver was updated while "
             "the old one runs";
    case kNoPermission:
      return "ask for the right to read /dev/nvidiactl and /dev/nvidia0 (often the group video)";
    default:
      return "see whether nvidia-smi says more";
  }
}

}  // namespace

Library::Library(const std::string& name)
    : handle_(dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)), functions_() {
  if (!handle_) fail_unavailable(fmt::format("no NVIDIA driver is here: {}", dlerror()), kNoGpu);
  functions_ = find_all(handle_);
  const bool whole = functions_.init && functions_.count && functions_.handle_by_index;
  const int status = whole ? functions_.init() : int{kFunctionNotFound};
  if (status == kSuccess) return;
  const std::string why = whole ? reason(status) : "it lacks the functions of NVML";
  dlclose(handle_);
  fail_unavailable(fmt::format("the NVIDIA driver's {} cannot be used: {}", name, why),
                   whole ? fix_of(status) : "name the driver's own library with --nvml");
}

Library::~Library() {
  call(functions_.shutdown);
  dlclose(handle_);
}

std::string Library::reason(int status) const {
  if (status == kFunctionNotFound) return "this driver does not know it";
  const char* const text = functions_.error_string ? functions_.error_string(status) : nullptr;
  return text ? text : fmt::format("error {} of NVML", status);
}

}  // namespace tplab::nvml
