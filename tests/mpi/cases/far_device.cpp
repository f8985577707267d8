#include "far_device.h"

#include <sys/mman.h>

#include <cstdlib>
#include <utility>

#include "sim/error.h"

namespace tplab {
namespace {

constexpr size_t kMostBytes = size_t{4} << 30;  // of addresses: none is used twice

class FarDevice final : public Device {
 public:
  explicit FarDevice(std::unique_ptr<Device> device)
      : device_(std::move(device)), memory_(take_addresses()) {}

  std::string_view name() const override { return device_->name(); }
  Array allocate(DType dtype, const Shape& shape) override {
    constexpr size_t kAlignment = 256;
    char* const data = memory_.get() + used_;
    used_ += (static_cast<size_t>(shape.count() * size_bytes(dtype)) / kAlignment + 1) * kAlignment;
    if (used_ > kMostBytes) fail_unavailable("the far device has no more addresses", "raise them");
    return Array(dtype, shape, std::shared_ptr<void>(memory_, data));
  }
  void* host_memory(Array&) override { return nullptr; }
  MemoryUse memory() const override { return device_->memory(); }

  void upload(HostSpan from, Array& to) override {
    open([&] { device_->upload(from, to); });
  }
  void download(const Array& from, HostSpan to) override {
    open([&] { device_->download(from, to); });
  }
  void zero(Array& x) override {
    open([&] { device_->zero(x); });
  }
  void run(const Operation& operation) override {
    open([&] { device_->run(operation); });
  }
  void sum(std::span<const void* const> terms, void* out, DType dtype, int64_t count) override {
    open([&] { device_->sum(terms, out, dtype, count); });
  }
  void max(std::span<const void* const> terms, void* out, DType dtype, int64_t count) override {
    open([&] { device_->max(terms, out, dtype, count); });
  }
  void copy(const void* from, void* to, int64_t bytes) override {
    open([&] { device_->copy(from, to, bytes); });
  }
  void read(std::span<const Array> arrays) override {
    open([&] { device_->read(arrays); });
  }

 private:
  static std::shared_ptr<char> take_addresses() {
    void* const memory =
        mmap(nullptr, kMostBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    return {static_cast<char*>(memory), [](char* all) { munmap(all, kMostBytes); }};
  }
  template <class F>
  void open(const F& f) {
    mprotect(memory_.get(), kMostBytes, PROT_READ | PROT_WRITE);
    f();
    mprotect(memory_.get(), kMostBytes, PROT_NONE);
  }

  const std::unique_ptr<Device> device_;
  const std::shared_ptr<char> memory_;
  size_t used_ = 0;
};

}  // namespace

std::unique_ptr<Device> make_far_device(std::unique_ptr<Device> device) {
  return std::make_unique<FarDevice>(std::move(device));
}

}  // namespace tplab
