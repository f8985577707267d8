// The number formats a tensor can have, and how to write one kernel for all of them.
#pragma once

#include <cstdint>
#include <string_view>

namespace tplab {

enum class DType { f32, f64 };

constexpr int64_t size_bytes(DType dtype) { return dtype == DType::f32 ? 4 : 8; }
constexpr std::string_view name(DType dtype) { return dtype == DType::f32 ? "f32" : "f64"; }

// Half the distance from 1 to the next number: the largest relative error of one rounding
// (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 2.1).
constexpr double unit_roundoff(DType dtype) { return dtype == DType::f32 ? 0x1p-24 : 0x1p-53; }

DType parse_dtype(std::string_view text);  // throws Error(usage) that lists the names

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

// Calls f with a float or a double, whose type is the dtype's: dispatch(d, [&](auto zero) {
// using Real = decltype(zero); ... }).
template <class F>
decltype(auto) dispatch(DType dtype, F&& f) {
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
