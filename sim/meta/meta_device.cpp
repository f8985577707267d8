#include "sim/meta/meta_device.h"

#include <algorithm>

#include "sim/ops/list.h"
#include "sim/recorder.h"

namespace tplab {

namespace {

class MetaDevice final : public Device {
 public:
  explicit MetaDevice(Recorder* recorder) : recorder_(recorder) {}
  std::string_view name() const override { return "meta"; }
  bool has_numbers() const override { return false; }

  Array allocate(DType dtype, const Shape& shape) override {
    const int64_t bytes = shape.count() * size_bytes(dtype);
    use_->current_bytes += bytes;
    use_->peak_bytes = std::max(use_->peak_bytes, use_->current_bytes);
    // An address that nobody may follow. Each array has its own, an empty one too.
    void* const address = reinterpret_cast<void*>(next_);  // NOLINT(performance-no-int-to-ptr)
    next_ += static_cast<uintptr_t>((bytes + kAlignment) / kAlignment * kAlignment);
    return Array(dtype, shape, std::shared_ptr<void>(address, [use = use_, bytes](void*) {
                   use->current_bytes -= bytes;
                 }));
  }
  void upload(HostSpan, Array& to) override { tell("upload", to); }
  void download(const Array&, HostSpan to) override {
    dispatch(to.dtype, [&](auto zero) {
      using Real = decltype(zero);
      std::fill_n(static_cast<Real*>(to.data), to.count, static_cast<Real>(1.0f));
    });
  }
  void zero(Array& x) override { tell("zero", x); }
  MemoryUse memory() const override { return *use_; }
  void read(std::span<const Array>) override {}

  void run(const Operation& operation) override {
    if (recorder_) tell_computed(*recorder_, operation);
  }

  void sum(std::span<const void* const>, void*, DType, int64_t) override {}
  void max(std::span<const void* const>, void*, DType, int64_t) override {}
  void copy(const void*, void*, int64_t) override {}

 private:
  static constexpr int64_t kAlignment = 64;

  void tell(std::string_view operation, const Array& written) {
    if (recorder_) tell_computed(*recorder_, operation, {}, {&written}, {});
  }

  Recorder* const recorder_;
  std::shared_ptr<MemoryUse> use_ = std::make_shared<MemoryUse>();
  uintptr_t next_ = kAlignment;
};

}  // namespace

std::unique_ptr<Device> make_meta_device(Recorder* recorder) {
  return std::make_unique<MetaDevice>(recorder);
}

}  // namespace tplab
