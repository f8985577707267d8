// A driver's library of management whose answers are a script: libnvidia-ml.so.1 for tests, by
// NVML's documented names, layouts and values. It shares nothing with sim/nvml/.
//
// FAKE_NVML, read at nvmlInit, is a list of words:
//   mig        GPU 1 is divided; of its two places the second holds a MIG device
//   kinds      GPU 1 is of another kind
//   lost=N     GPU 1 falls off the bus after N looks at it (0: before the first)
//   denied     who computes on a GPU may not be seen
//   init=N     nvmlInit fails with this status
//   none       there are no GPUs
// With FAKE_NVML_OLD it is compiled as a driver of 2018: names without _v2, nothing of what came
// later.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr int kSuccess = 0, kNotSupported = 3, kNoPermission = 4, kNotFound = 6, kShort = 7,
              kLost = 15;
constexpr unsigned long long kMiB = 1ull << 20, kGiB = 1ull << 30;

std::string script;
int looks_at_gpu_1 = 0;

bool has(const std::string& word) {
  return ("," + script + ",").find("," + word + ",") != script.npos;
}

// Of "lost=3", 3; of what is not there, `otherwise`.
int number_of(const std::string& word, int otherwise) {
  const size_t at = script.find(word + "=");
  return at == std::string::npos ? otherwise : std::atoi(script.c_str() + at + word.size() + 1);
}

// What a handle points at.
struct FakeDevice {
  int gpu;
  bool mig;
};
FakeDevice devices[] = {{0, false}, {1, false}, {1, true}};

FakeDevice& of(void* handle) { return *static_cast<FakeDevice*>(handle); }

bool is_lost(void* handle) {
  return of(handle).gpu == 1 && looks_at_gpu_1 > number_of("lost", 1 << 30);
}

// A GPU's own business, which its MIG devices are not told.
int of_gpu(void* handle, unsigned int value, unsigned int* out) {
  if (is_lost(handle)) return kLost;
  if (of(handle).mig) return kNotSupported;
  *out = value;
  return kSuccess;
}

int write(const std::string& text, char* out, unsigned int length) {
  if (text.size() >= length) return kShort;
  std::memcpy(out, text.c_str(), text.size() + 1);
  return kSuccess;
}

unsigned long long total(void* handle) { return of(handle).mig ? 10 * kGiB : 80 * kGiB; }

}  // namespace

extern "C" {

#ifdef FAKE_NVML_OLD
#define NEWER(name) name
#else
#define NEWER(name) name##_v2
#endif

int NEWER(nvmlInit)() {
  const char* const words = std::getenv("FAKE_NVML");
  script = words ? words : "";
  looks_at_gpu_1 = number_of("lost", 1) == 0 ? 1 : 0;
  return number_of("init", kSuccess);
}
int nvmlShutdown() { return kSuccess; }
const char* nvmlErrorString(int status) {
  switch (status) {
    case kNotSupported:
      return "Not Supported";
    case kNoPermission:
      return "Insufficient Permissions";
    case 9:
      return "Driver Not Loaded";
    case kLost:
      return "GPU is lost";
    case 18:
      return "Driver/library version mismatch";
    default:
      return "Unknown Error";
  }
}
int nvmlSystemGetDriverVersion(char* out, unsigned int length) {
  return write("580.65.06", out, length);
}
int nvmlSystemGetProcessName(unsigned int pid, char* out, unsigned int length) {
  return pid == 4321 ? write("/usr/bin/python3", out, length) : kNotFound;
}
int NEWER(nvmlDeviceGetCount)(unsigned int* count) {
  *count = has("none") ? 0 : 2;
  return kSuccess;
}
int NEWER(nvmlDeviceGetHandleByIndex)(unsigned int index, void** handle) {
  *handle = &devices[index];
  return is_lost(*handle) ? kLost : kSuccess;
}
int nvmlDeviceGetName(void* handle, char* out, unsigned int length) {
  if (of(handle).mig) return write("NVIDIA H100 80GB HBM3 MIG 1g.10gb", out, length);
  return write(of(handle).gpu == 1 && has("kinds") ? "NVIDIA L4" : "NVIDIA H100 80GB HBM3", out,
               length);
}
int nvmlDeviceGetUUID(void* handle, char* out, unsigned int length) {
  if (of(handle).mig) return write("MIG-3c5a7e10-0000-5000-8000-000000000001", out, length);
  return write(of(handle).gpu == 0 ? "GPU-aaaa0000-1111-2222-3333-444444444444"
                                   : "GPU-aabb0000-1111-2222-3333-444444444444",
               out, length);
}

struct Memory {
  unsigned long long total, free, used;
};
int nvmlDeviceGetMemoryInfo(void* handle, Memory* m) {
  if (is_lost(handle)) return kLost;
  *m = {total(handle), total(handle) - 3 * kGiB, 3 * kGiB};
  return kSuccess;
}

struct Utilization {
  unsigned int gpu, memory;
};
int nvmlDeviceGetUtilizationRates(void* handle, Utilization* busy) {
  if (of(handle).gpu == 1 && !of(handle).mig) ++looks_at_gpu_1;
  if (is_lost(handle)) return kLost;
  if (of(handle).mig || (of(handle).gpu == 1 && has("mig"))) return kNotSupported;
  *busy = {of(handle).gpu == 0 ? 90u : 30u, 0u};
  return kSuccess;
}
int nvmlDeviceGetTemperature(void* handle, unsigned int sensor, unsigned int* celsius) {
  return sensor == 0 ? of_gpu(handle, 41, celsius) : 2;
}
int nvmlDeviceGetPowerUsage(void* handle, unsigned int* milliwatts) {
  return of_gpu(handle, 123'456, milliwatts);
}
int nvmlDeviceGetEnforcedPowerLimit(void* handle, unsigned int* milliwatts) {
  return of_gpu(handle, 700'000, milliwatts);
}
int nvmlDeviceGetClockInfo(void* handle, unsigned int type, unsigned int* mhz) {
  return of_gpu(handle, type == 1 ? 1980 : type == 2 ? 2619 : 0, mhz);
}
#ifdef FAKE_NVML_OLD
int nvmlDeviceGetCurrentClocksThrottleReasons(void* handle, unsigned long long* reasons) {
#else
int nvmlDeviceGetCurrentClocksEventReasons(void* handle, unsigned long long* reasons) {
#endif
  if (is_lost(handle)) return kLost;
  if (of(handle).mig) return kNotSupported;
  *reasons = of(handle).gpu == 0 ? 0x4 | 0x40 : 0x1;
  return kSuccess;
}

#ifdef FAKE_NVML_OLD
struct Process {
  unsigned int pid;
  unsigned long long used;
};
int nvmlDeviceGetComputeRunningProcesses(void* handle, unsigned int* count, Process* list) {
#else
struct Process {
  unsigned int pid;
  unsigned long long used;
  unsigned int gpu_instance, compute_instance;
};
int nvmlDeviceGetComputeRunningProcesses_v3(void* handle, unsigned int* count, Process* list) {
#endif
  if (is_lost(handle)) return kLost;
  if (has("denied")) return kNoPermission;
  const unsigned int room = *count, there = of(handle).gpu == 0 ? 20 : 0;  // more than one asks for
  *count = there;
  if (room < there) return kShort;
  for (unsigned int i = 0; i < there; ++i) {
    list[i] = {};
    list[i].pid = 4321 + i;
    list[i].used = i == 1 ? ~0ull : 2 * kGiB;  // of the second it is not known
  }
  return kSuccess;
}

#ifndef FAKE_NVML_OLD
struct MemoryV2 {
  unsigned int version;
  unsigned long long total, reserved, free, used;
};
int nvmlDeviceGetMemoryInfo_v2(void* handle, MemoryV2* m) {
  if (m->version != 0x02000028) return 25;
  if (is_lost(handle)) return kLost;
  *m = {m->version, total(handle), 512 * kMiB, total(handle) - 3 * kGiB, 3 * kGiB - 512 * kMiB};
  return kSuccess;
}
struct TemperatureV {
  unsigned int version, sensor;
  int celsius;
};
int nvmlDeviceGetTemperatureV(void* handle, TemperatureV* t) {
  if (t->version != 0x0100000c) return 25;
  unsigned int celsius = 0;
  const int status = of_gpu(handle, 42, &celsius);
  if (status == kSuccess) t->celsius = static_cast<int>(celsius);
  return status;
}
int nvmlDeviceGetMigMode(void* handle, unsigned int* current, unsigned int* pending) {
  if (is_lost(handle)) return kLost;
  *current = *pending = of(handle).gpu == 1 && has("mig") ? 1 : 0;
  return kSuccess;
}
int nvmlDeviceGetMaxMigDeviceCount(void*, unsigned int* count) {
  *count = 2;
  return kSuccess;
}
int nvmlDeviceGetMigDeviceHandleByIndex(void*, unsigned int index, void** handle) {
  *handle = &devices[2];
  return index == 1 ? kSuccess : kNotFound;
}
int nvmlDeviceGetGpuInstanceId(void* handle, unsigned int* id) {
  *id = 7;
  return of(handle).mig ? kSuccess : kNotSupported;
}
int nvmlDeviceGetComputeInstanceId(void* handle, unsigned int* id) {
  *id = 0;
  return of(handle).mig ? kSuccess : kNotSupported;
}
#endif

}  // extern "C"
