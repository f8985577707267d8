#include "sim/nvml/gpu_watch.h"

#include <algorithm>
#include <utility>

#include "sim/machine/imbalance.h"

namespace tplab {

namespace {

template <class Number>
void add_to(WatchedQuantity& sum, const std::optional<Number>& value) {
  if (!value) return;
  const auto number = static_cast<double>(*value);
  sum.average = sum.average.value_or(0) + number;
  sum.peak = std::max(sum.peak.value_or(number), number);
  ++sum.readings;
}

void add_once(std::vector<std::string>& list, const std::string& one) {
  if (std::find(list.begin(), list.end(), one) == list.end()) list.push_back(one);
}

void add_once(std::vector<GpuReading::Missing>& list, const GpuReading::Missing& one) {
  const auto same = [&](const GpuReading::Missing& other) {
    return other.field == one.field && other.why == one.why;
  };
  if (std::none_of(list.begin(), list.end(), same)) list.push_back(one);
}

void finish(std::vector<GpuSummary>& gpus, WatchedQuantity GpuSummary::*quantity) {
  std::vector<std::optional<double>> averages;
  for (GpuSummary& gpu : gpus) {
    WatchedQuantity& sum = gpu.*quantity;
    if (sum.average) *sum.average /= static_cast<double>(sum.readings);
    averages.push_back(gpu.counts ? sum.average : std::nullopt);
  }
  const auto of_all = imbalances(averages);
  for (size_t i = 0; i < gpus.size(); ++i) (gpus[i].*quantity).imbalance = of_all[i];
}

}  // namespace

void GpuWatch::add(const std::vector<GpuReading>& readings, const std::vector<bool>& counts) {
  ++samples_;
  for (size_t i = 0; i < readings.size(); ++i) {
    const GpuReading& now = readings[i];
    auto at = std::find_if(gpus_.begin(), gpus_.end(),
                           [&](const GpuSummary& gpu) { return gpu.number == now.number; });
    if (at == gpus_.end()) {
      at = gpus_.emplace(gpus_.end());
      at->number = now.number;
    }
    if (now.name) at->name = now.name;
    if (now.uuid) at->uuid = now.uuid;
    at->counts = counts[i];
    add_to(at->utilisation_percent, now.utilisation_percent);
    add_to(at->memory_used_bytes, now.memory_used_bytes);
    add_to(at->power_w, now.power_w);
    add_to(at->temperature_c, now.temperature_c);
    if (now.throttle_reasons)
      for (const std::string& reason : *now.throttle_reasons)
        if (reason != "idle") add_once(at->throttle_reasons, reason);
    for (const GpuReading::Missing& missing : now.missing)
      if (missing.is_error) add_once(at->errors, missing);
  }
}

std::vector<GpuSummary> GpuWatch::summaries() const {
  std::vector<GpuSummary> gpus = gpus_;
  for (auto quantity : {&GpuSummary::utilisation_percent, &GpuSummary::memory_used_bytes,
                        &GpuSummary::power_w, &GpuSummary::temperature_c})
    finish(gpus, quantity);
  return gpus;
}

Ticker::Ticker(std::chrono::duration<double> every, std::function<void()> take)
    : thread_([this, every, take = std::move(take)] { run(every, take); }) {}

void Ticker::run(std::chrono::duration<double> every, const std::function<void()>& take) {
  using Clock = std::chrono::steady_clock;
  const auto step = std::chrono::duration_cast<Clock::duration>(every);
  auto next = Clock::now() + step;
  std::unique_lock lock(mutex_);
  while (!changed_.wait_until(lock, next, [&] { return stopping_; })) {
    lock.unlock();
    try {
      take();
    } catch (...) {
      failed_ = std::current_exception();
      return;
    }
    next = std::max(next + step, Clock::now());
    lock.lock();
  }
}

void Ticker::join() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Ticker::stop() {
  join();
  if (failed_) std::rethrow_exception(std::exchange(failed_, nullptr));
}

}  // namespace tplab
