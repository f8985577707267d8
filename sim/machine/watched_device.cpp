#include "sim/machine/watched_device.h"

#include <utility>

#include "sim/ops/list.h"
#include "sim/recorder.h"

namespace tplab {

namespace {

class WatchedDevice final : public Device {
 public:
  WatchedDevice(std::unique_ptr<Device> device, OperationTimes* times, Recorder* computed)
      : device_(std::move(device)), times_(times), computed_(computed) {}

  std::string_view name() const override { return device_->name(); }
  bool has_numbers() const override { return device_->has_numbers(); }
  Array allocate(DType dtype, const Shape& shape) override {
    return device_->allocate(dtype, shape);
  }
  void upload(HostSpan from, Array& to) override { device_->upload(from, to); }
  void download(const Array& from, HostSpan to) override { device_->download(from, to); }
  void zero(Array& x) override { device_->zero(x); }
  void* host_memory(Array& x) override { return device_->host_memory(x); }
  MemoryUse memory() const override { return device_->memory(); }
  void read(std::span<const Array> arrays) override { device_->read(arrays); }
  void sum(std::span<const void* const> terms, void* out, DType dtype, int64_t count) override {
    device_->sum(terms, out, dtype, count);
  }
  void max(std::span<const void* const> terms, void* out, DType dtype, int64_t count) override {
    device_->max(terms, out, dtype, count);
  }
  void copy(const void* from, void* to, int64_t bytes) override { device_->copy(from, to, bytes); }
  void sum_to_all(std::span<const void* const> terms, std::span<void* const> outs, DType dtype,
                  int64_t count) override {
    device_->sum_to_all(terms, outs, dtype, count);
  }
  void max_to_all(std::span<const void* const> terms, std::span<void* const> outs, DType dtype,
                  int64_t count) override {
    device_->max_to_all(terms, outs, dtype, count);
  }
  bool reaches_peers() const override { return device_->reaches_peers(); }
  std::shared_ptr<void> record() override { return device_->record(); }
  void wait_for(const std::shared_ptr<void>& moment) override { device_->wait_for(moment); }
  std::shared_ptr<void> mark() override { return device_->mark(); }
  double seconds_between(const std::shared_ptr<void>& begin,
                         const std::shared_ptr<void>& end) override {
    return device_->seconds_between(begin, end);
  }

  void run(const Operation& operation) override {
    if (times_) {
      const Timed timed(*times_, std::visit([](const auto& one) { return one.kName; }, operation));
      device_->run(operation);
      device_->wait();
    } else {
      device_->run(operation);
    }
    if (computed_) tell_computed(*computed_, operation);
  }
  void wait() override { device_->wait(); }

 private:
  class Timed {
   public:
    Timed(OperationTimes& times, std::string_view name) : times_(times) { times_.starts(name); }
    ~Timed() { times_.ends(); }
    Timed(const Timed&) = delete;
    Timed& operator=(const Timed&) = delete;

   private:
    OperationTimes& times_;
  };

  const std::unique_ptr<Device> device_;
  OperationTimes* const times_;
  Recorder* const computed_;
};

}  // namespace

std::unique_ptr<Device> make_watched_device(std::unique_ptr<Device> device, OperationTimes* times,
                                            Recorder* computed) {
  return std::make_unique<WatchedDevice>(std::move(device), times, computed);
}

std::unique_ptr<Device> watched_for(Recorder* recorder, std::unique_ptr<Device> device) {
  auto* const times = dynamic_cast<OperationTimes*>(recorder);
  Recorder* const computed = recorder && recorder->follows_operations() ? recorder : nullptr;
  if (!times && !computed) return device;
  return make_watched_device(std::move(device), times, computed);
}

}  // namespace tplab
