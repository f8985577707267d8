// The number formats a tensor can have, and how to write one kernel for all of them.
#pragma once

#include <cassert>
#include <cstdint>
#include <string_view>

#include "sim/bf16.h"

namespace tplab {

enum class DType {
  f32,
  f64,
  bf16,  // stored so, computed with as f32
  i32,   // token ids, targets and positions: read as indices, never computed with
};

constexpr int64_t size_bytes(DType dtype) {
  if (dtype == DType::bf16) return 2;
  return dtype == DType::f64 ? 8 : 4;
}
constexpr std::string_view name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::bf16:
      return "bf16";
    case DType::i32:
      return "i32";
  }
  return "";
}

// Half the distance from 1 to the next number: the largest relative error of one rounding
// (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 2.1).
// REQUIRES: numbers, not ids.
constexpr double unit_roundoff(DType dtype) {
  if (dtype == DType::bf16) return 0x1p-8;
  return dtype == DType::f32 ? 0x1p-24 : 0x1p-53;
}

// What sums, row statistics and moments of such numbers are kept in: f32 or wider.
constexpr DType accumulator(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

// The dtype of a model's numbers. Throws Error(usage) that lists the names.
DType parse_dtype(std::string_view text);

// The dtype whose numbers a Real is; none other compiles.
template <class Real>
inline constexpr DType dtype_of = [] {
  static_assert(sizeof(Real) == 0, "No DType has numbers of this C++ type.");
  return DType::f32;
}();
template <>
inline constexpr DType dtype_of<float> = DType::f32;
template <>
inline constexpr DType dtype_of<double> = DType::f64;
template <>
inline constexpr DType dtype_of<bf16> = DType::bf16;
template <>
inline constexpr DType dtype_of<int32_t> = DType::i32;

// Calls f with a number whose type is the dtype's: dispatch(d, [&](auto zero) { using Real =
// decltype(zero); ... }). A bf16 is stored and converted, no more. REQUIRES: numbers, not ids.
template <class F>
decltype(auto) dispatch(DType dtype, F&& f) {
  assert(dtype != DType::i32);
  if (dtype == DType::f64) return f(double{});
  if (dtype == DType::bf16) return f(bf16{});
  return f(float{});
}

// The same for code that computes with the numbers. REQUIRES: f32 or f64.
template <class F>
decltype(auto) dispatch_computed(DType dtype, F&& f) {
  assert(dtype == DType::f32 || dtype == DType::f64);
  if (dtype == DType::f64) return f(double{});
  return f(float{});
}

// `count` numbers in host memory, of a type known at run time. Does not own them.
struct HostSpan {
  DType dtype;
  void* data;
  int64_t count;
};

}  // namespace tplab
