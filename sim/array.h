// Untyped storage: a dense row-major array of numbers in the memory of one rank's device.
#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <utility>

#include "sim/dtype.h"
#include "sim/shape.h"

namespace tplab {

// A handle: copies share the numbers. Made by Device::allocate; the last handle gives the memory
// back. Contents are touched only through a Device (or as<Real>() where memory is host memory).
class Array {
 public:
  Array() = default;
  Array(DType dtype, Shape shape, std::shared_ptr<void> storage)
      : dtype_(dtype), shape_(shape), storage_(std::move(storage)) {}

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t count() const { return shape_.count(); }
  int64_t bytes() const { return count() * size_bytes(dtype_); }
  void* data() const { return storage_.get(); }
  bool present() const { return storage_ != nullptr; }
  // True if no other handle shares the numbers, so that overwriting them surprises nobody.
  bool unique() const { return storage_.use_count() == 1; }

  // The same numbers under another shape of equal count.
  Array reshaped(Shape shape) const {
    assert(shape.count() == count());
    return Array(dtype_, shape, storage_);
  }

  // A view of `shape.count()` consecutive numbers from index `first`; the numbers are shared.
  // REQUIRES: they lie inside this array.
  Array part(int64_t first, Shape shape) const {
    assert(first >= 0 && first + shape.count() <= count());
    auto* const from = static_cast<char*>(storage_.get()) + first * size_bytes(dtype_);
    return Array(dtype_, shape, std::shared_ptr<void>(storage_, from));
  }

  template <class Real>
  Real* as() const {
    [[maybe_unused]] constexpr DType kDType = dtype_of<Real>;
    assert(dtype_ == kDType);
    return static_cast<Real*>(storage_.get());
  }

 private:
  DType dtype_ = DType::f32;
  Shape shape_;
  std::shared_ptr<void> storage_;
};

}  // namespace tplab
