#include "sim/machine/timed_device.h"

#include <utility>

#include "sim/ops/list.h"

namespace tplab {

namespace {

class TimedDevice final : public Device {
 public:
  TimedDevice(std::unique_ptr<Device> device, OperationTimes& times)
      : device_(std::move(device)), times_(times) {}

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

  void run(const Operation& operation) override {
    const Timed timed(times_, std::visit([](const auto& one) { return one.kName; }, operation));
    device_->run(operation);
    device_->wait();
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
  OperationTimes& times_;
};

}  // namespace

std::unique_ptr<Device> make_timed_device(std::unique_ptr<Device> device, OperationTimes& times) {
  return std::make_unique<TimedDevice>(std::move(device), times);
}

}  // namespace tplab
