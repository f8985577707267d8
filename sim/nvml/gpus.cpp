#include "sim/nvml/gpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sim/error.h"

namespace tplab {

namespace {

using nvml::kSuccess;
using nvml::Library;

// Asks about one device, and notes what is not answered.
class Questions {
 public:
  Questions(const Library& library, nvml::Device device, GpuReading& reading)
      : library_(library), f_(library.functions()), device_(device), reading_(reading) {}

  void name_and_uuid() {
    reading_.name = text("name", f_.name);
    reading_.uuid = text("uuid", f_.uuid);
  }

  void numbers() {
    memory();
    nvml::Utilization busy = {};
    if (answered("utilisation_percent", Library::call(f_.utilization, device_, &busy)))
      reading_.utilisation_percent = busy.gpu;
    temperature();
    unsigned int value = 0;
    if (answered("power_w", Library::call(f_.power_usage, device_, &value)))
      reading_.power_w = value * 1e-3;
    if (answered("power_limit_w", Library::call(f_.power_limit, device_, &value)))
      reading_.power_limit_w = value * 1e-3;
    if (answered("sm_clock_mhz", Library::call(f_.clock, device_, nvml::kClockSm, &value)))
      reading_.sm_clock_mhz = value;
    if (answered("memory_clock_mhz", Library::call(f_.clock, device_, nvml::kClockMemory, &value)))
      reading_.memory_clock_mhz = value;
    unsigned long long mask = 0;
    if (answered("throttle_reasons", Library::call(f_.clock_reasons, device_, &mask)))
      reading_.throttle_reasons = throttle_reasons(mask);
    processes();
  }

  // Whether the GPU is divided, as far as it says.
  bool mig_mode() {
    unsigned int current = 0, pending = 0;
    if (answered("mig_mode", Library::call(f_.mig_mode, device_, &current, &pending)))
      reading_.mig_mode = current != 0;
    return reading_.mig_mode.value_or(false);
  }

  void instances() {
    unsigned int id = 0;
    if (answered("gpu_instance", Library::call(f_.gpu_instance, device_, &id)))
      reading_.gpu_instance = id;
    if (answered("compute_instance", Library::call(f_.compute_instance, device_, &id)))
      reading_.compute_instance = id;
  }

  bool answered(const char* field, int status) {
    if (status != kSuccess)
      reading_.missing.push_back(
          {field, library_.reason(status),
           status != nvml::kNotSupported && status != nvml::kFunctionNotFound});
    return status == kSuccess;
  }

 private:
  std::optional<std::string> text(const char* field,
                                  int (*ask)(nvml::Device, char*, unsigned int)) {
    std::array<char, nvml::kTextBytes + 1> buffer = {};
    if (!answered(field, Library::call(ask, device_, buffer.data(), nvml::kTextBytes)))
      return std::nullopt;
    return buffer.data();
  }

  void memory() {
    nvml::MemoryV2 now;
    const int status = Library::call(f_.memory_v2, device_, &now);
    if (status == kSuccess) {
      reading_.memory_reserved_bytes = static_cast<int64_t>(now.reserved);
      set_memory(now);
      return;
    }
    nvml::Memory before = {};  // drivers before 510 have this one alone
    if (answered("memory", Library::call(f_.memory, device_, &before))) {
      set_memory(before);
      answered("memory_reserved_bytes", status);
    }
  }
  template <class Memory>
  void set_memory(const Memory& m) {
    reading_.memory_total_bytes = static_cast<int64_t>(m.total);
    reading_.memory_used_bytes = static_cast<int64_t>(m.used);
    reading_.memory_free_bytes = static_cast<int64_t>(m.free);
  }

  void temperature() {
    nvml::TemperatureV1 now;
    unsigned int celsius = 0;
    if (Library::call(f_.temperature_v, device_, &now) == kSuccess)
      reading_.temperature_c = now.celsius;
    else if (answered("temperature_c",
                      Library::call(f_.temperature, device_, now.sensor, &celsius)))
      reading_.temperature_c = celsius;
  }

  void processes() {
    if (f_.processes)
      list_processes<nvml::ProcessInfo>(f_.processes);
    else
      list_processes<nvml::ProcessInfoV1>(f_.processes_v1);
  }

  // Asks with more and more room, as processes may come between two calls.
  template <class Info>
  void list_processes(int (*ask)(nvml::Device, unsigned int*, Info*)) {
    constexpr size_t kMost = 1 << 16;
    std::vector<Info> list(16);
    unsigned int count = 0;
    int status = nvml::kInsufficientSize;
    for (; status == nvml::kInsufficientSize && list.size() < kMost; list.resize(4 * list.size())) {
      count = static_cast<unsigned int>(list.size());
      status = Library::call(ask, device_, &count, list.data());
    }
    if (!answered("processes", status)) return;
    reading_.processes.emplace();
    for (size_t i = 0; i < std::min<size_t>(count, list.size()); ++i)
      reading_.processes->push_back(process(list[i].pid, list[i].used_bytes));
  }

  GpuProcess process(unsigned int pid, unsigned long long used_bytes) const {
    GpuProcess one{.pid = pid, .name = {}, .memory_bytes = {}};
    std::array<char, 1025> name = {};
    if (Library::call(f_.process_name, pid, name.data(), 1024u) == kSuccess) one.name = name.data();
    if (used_bytes != nvml::kNotAvailable) one.memory_bytes = static_cast<int64_t>(used_bytes);
    return one;
  }

  const Library& library_;
  const nvml::Functions& f_;
  nvml::Device device_;
  GpuReading& reading_;
};

void read_mig_devices(const Library& library, nvml::Device gpu, GpuReading& of_gpu,
                      std::vector<GpuReading>& all) {
  const nvml::Functions& f = library.functions();
  unsigned int most = 0;
  if (!Questions(library, gpu, of_gpu)
           .answered("mig_devices", Library::call(f.mig_count, gpu, &most)))
    return;
  for (unsigned int i = 0; i < most; ++i) {
    nvml::Device device = nullptr;
    if (Library::call(f.mig_by_index, gpu, i, &device) != kSuccess) continue;  // a place unused
    GpuReading reading;
    reading.number = fmt::format("{}.{}", of_gpu.number, i);
    reading.is_mig_device = true;
    Questions ask(library, device, reading);
    ask.name_and_uuid();
    ask.instances();
    ask.numbers();
    all.push_back(std::move(reading));
  }
}

}  // namespace

std::vector<std::string> throttle_reasons(unsigned long long mask) {
  constexpr std::array kNames = {"idle",         "set clocks",  "power cap",
                                 "HW slowdown",  "sync boost",  "thermal (SW)",
                                 "thermal (HW)", "power brake", "display clocks"};
  std::vector<std::string> reasons;
  for (size_t bit = 0; bit < 64; ++bit)
    if (mask >> bit & 1)
      reasons.push_back(bit < kNames.size() ? kNames[bit] : fmt::format("reason {}", bit));
  return reasons;
}

Gpus::Gpus(const std::string& library) : library_(library) {
  const nvml::Functions& f = library_.functions();
  std::array<char, nvml::kTextBytes + 1> version = {};
  if (Library::call(f.driver_version, version.data(), 80u) == kSuccess)
    driver_version_ = version.data();
  unsigned int count = 0;
  if (const int status = f.count(&count); status != kSuccess)
    fail_unavailable(
        "the NVIDIA driver does not say how many GPUs there are: " + library_.reason(status),
        "see whether nvidia-smi says more");
  if (count == 0)
    fail_unavailable("the NVIDIA driver shows no GPU",
                     "start the container or the job with its GPUs; virtual ranks need none: tplab "
                     "monitor --preset nano-cpu --tp 4");
  for (unsigned int i = 0; i < count; ++i) {
    Gpu gpu;
    gpu.identity.number = fmt::format("{}", i);
    gpu.status = f.handle_by_index(i, &gpu.handle);
    if (gpu.status == kSuccess) Questions(library_, gpu.handle, gpu.identity).name_and_uuid();
    gpus_.push_back(std::move(gpu));
  }
}

std::vector<GpuReading> Gpus::read() const {
  std::vector<GpuReading> all;
  for (const Gpu& gpu : gpus_) {
    GpuReading reading = gpu.identity;
    Questions ask(library_, gpu.handle, reading);
    if (!ask.answered("all", gpu.status)) {
      all.push_back(std::move(reading));
      continue;
    }
    ask.numbers();
    const bool divided = ask.mig_mode();
    std::vector<GpuReading> parts;
    if (divided) read_mig_devices(library_, gpu.handle, reading, parts);
    all.push_back(std::move(reading));
    all.insert(all.end(), parts.begin(), parts.end());
  }
  return all;
}

}  // namespace tplab
