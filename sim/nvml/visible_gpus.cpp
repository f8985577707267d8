#include "sim/nvml/visible_gpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>

namespace tplab {

namespace {

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t"), end = text.find_last_not_of(" \t");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

std::vector<std::string> items_of(const std::string& list) {
  std::vector<std::string> items;
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    items.push_back(trimmed(list.substr(at, end - at)));
    at = end + 1;
  }
  return items;
}

class Reader {
 public:
  Reader(const std::vector<GpuReading>& readings, const CudaEnvironment& set)
      : readings_(readings), set_(set) {
    for (size_t i = 0; i < readings.size(); ++i)
      if (!readings[i].is_mig_device) gpus_.push_back(i);
    result_.views.resize(readings.size());
  }

  VisibleGpus all() {
    if (set_.visible_devices)
      read_list(*set_.visible_devices);
    else
      take_as_they_are();
    return std::move(result_);
  }

 private:
  void note(std::string text) { result_.notes.push_back(std::move(text)); }

  bool some_are_divided() const {
    return std::any_of(gpus_.begin(), gpus_.end(),
                       [&](size_t i) { return readings_[i].mig_mode.value_or(false); });
  }

  // CUDA's order is NVML's, that of the bus.
  bool order_is_known() const {
    const auto& first = readings_[gpus_.front()].name;
    return gpus_.size() == 1 || set_.device_order == "PCI_BUS_ID" ||
           (first && std::all_of(gpus_.begin(), gpus_.end(),
                                 [&](size_t i) { return readings_[i].name == first; }));
  }

  void note_order() {
    note(
        "the GPUs are of several kinds, which CUDA numbers by its own judgement of their speed: "
        "set CUDA_DEVICE_ORDER=PCI_BUS_ID to have them numbered as here");
  }

  void take_as_they_are() {
    if (some_are_divided()) {
      note(
          "a GPU is divided (MIG), and CUDA shows a program one part alone: name it in "
          "CUDA_VISIBLE_DEVICES to be sure which");
      return;
    }
    if (!order_is_known()) note_order();
    for (size_t i = 0; i < gpus_.size(); ++i) {
      CudaView& view = result_.views[gpus_[i]];
      view.visible = true;
      if (order_is_known()) view.number = static_cast<int>(i);
    }
  }

  void read_list(const std::string& list) {
    for (CudaView& view : result_.views) view.visible = false;
    const std::vector<std::string> items = items_of(list);
    int number = 0;
    for (const std::string& item : items) {
      if (list.empty() || item == "-1") break;
      int index = 0;
      const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), index);
      const bool is_index = error == std::errc() && end == item.data() + item.size();
      if (is_index && !order_is_known()) {
        for (CudaView& view : result_.views) view = {};
        note(fmt::format("CUDA_VISIBLE_DEVICES={}", list));
        return note_order();
      }
      const std::optional<size_t> found = is_index ? gpu_of_index(index) : gpu_of_uuid(item);
      if (!found || result_.views[*found].number) {
        note(fmt::format("CUDA_VISIBLE_DEVICES={}: '{}' {}; CUDA takes what stands before it", list,
                         item, found ? "is there twice" : "fits no GPU, or several"));
        break;
      }
      result_.views[*found] = {.visible = true, .number = number++};
    }
    say(list);
  }

  std::optional<size_t> gpu_of_index(int index) const {
    if (index < 0 || index >= static_cast<int>(gpus_.size())) return std::nullopt;
    return gpus_[static_cast<size_t>(index)];
  }

  // The one reading whose UUID begins so.
  std::optional<size_t> gpu_of_uuid(const std::string& item) const {
    const bool is_mig = item.starts_with("MIG-");
    if (!is_mig && !item.starts_with("GPU-")) return std::nullopt;
    std::optional<size_t> found;
    for (size_t i = 0; i < readings_.size(); ++i) {
      if (readings_[i].is_mig_device != is_mig) continue;
      if (!readings_[i].uuid.value_or("").starts_with(item) && old_name(i) != item) continue;
      if (found) return std::nullopt;
      found = i;
    }
    return found;
  }

  // A MIG device's name before driver 470: "MIG-GPU-<uuid>/1/0", of the GPU it is part of.
  std::string old_name(size_t device) const {
    const GpuReading& part = readings_[device];
    if (!part.gpu_instance || !part.compute_instance) return "";
    size_t gpu = device;
    while (gpu > 0 && readings_[gpu].is_mig_device) --gpu;
    return fmt::format("MIG-{}/{}/{}", readings_[gpu].uuid.value_or(""), *part.gpu_instance,
                       *part.compute_instance);
  }

  // "CUDA_VISIBLE_DEVICES=1,0: CUDA's 0 is GPU 1 here, 1 is 0"
  void say(const std::string& list) {
    std::vector<std::pair<int, size_t>> shown;
    for (size_t i = 0; i < readings_.size(); ++i)
      if (const auto& number = result_.views[i].number) shown.emplace_back(*number, i);
    std::sort(shown.begin(), shown.end());
    std::string text;
    for (const auto& [number, i] : shown)
      text += fmt::format("{}{} is {}", text.empty() ? "CUDA's GPU " : ", ", number,
                          readings_[i].number);
    const std::string who = shown.empty() ? "CUDA sees no GPU" : text + " here";
    result_.notes.insert(result_.notes.begin(),
                         fmt::format("CUDA_VISIBLE_DEVICES={}: {}", list, who));
  }

  const std::vector<GpuReading>& readings_;
  const CudaEnvironment& set_;
  std::vector<size_t> gpus_;  // readings that are no MIG devices
  VisibleGpus result_;
};

}  // namespace

VisibleGpus visible_gpus(const std::vector<GpuReading>& readings, const CudaEnvironment& set) {
  return Reader(readings, set).all();
}

}  // namespace tplab
