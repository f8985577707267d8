// The sizes of an array.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace tplab {

// [B, T, C]: at most eight sizes, of which the last one is contiguous in memory; none: one number.
class Shape {
 public:
  static constexpr int kMaxDims = 8;
  using value_type = int64_t;
  using const_iterator = const int64_t*;

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) {
    for (const int64_t size : sizes) push_back(size);
  }
  void push_back(int64_t size) {  // REQUIRES: dims() < kMaxDims
    assert(dims_ < kMaxDims);
    sizes_[static_cast<size_t>(dims_++)] = size;
  }

  int dims() const { return dims_; }
  // Negative counts from the end: shape[-1] is the contiguous size.
  int64_t operator[](int i) const { return sizes_[place(i)]; }
  int64_t& operator[](int i) { return sizes_[place(i)]; }
  const_iterator begin() const { return sizes_.data(); }
  const_iterator end() const { return sizes_.data() + dims_; }

  int64_t count() const;                // how many numbers
  int64_t rows() const;                 // all sizes but the last, multiplied
  Shape with_last(int64_t size) const;  // the same but for the last size
  Shape from(int first) const;          // without the sizes before number `first`
  std::string text() const;             // "[4, 64, 128]"
  bool operator==(const Shape&) const = default;

 private:
  size_t place(int i) const { return static_cast<size_t>(i < 0 ? i + dims_ : i); }

  std::array<int64_t, kMaxDims> sizes_{};
  int dims_ = 0;
};

}  // namespace tplab
