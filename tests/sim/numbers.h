// Test data that depends on the index, and the error bounds of floating-point sums.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <vector>

#include "sim/device.h"
#include "sim/ops/list.h"
#include "tests/sim/team.h"

namespace tplab {

// Different at every index and for every seed, between -1 and 1, never 0.
inline double number_at(int64_t i, int seed) {
  const auto mixed = static_cast<uint64_t>(i * 31 + seed + 1) * 0x9e3779b97f4a7c15u;
  return (static_cast<double>(mixed >> 40) + 0.5) / 0x1p23 - 1;
}

template <class Real>
Array numbers(Device& device, const Shape& shape, int seed) {
  Array x = device.allocate(dtype_of<Real>, shape);
  for (int64_t i = 0; i < x.count(); ++i) x.as<Real>()[i] = static_cast<Real>(number_at(i, seed));
  return x;
}

inline Array ids_of(Device& device, std::vector<int32_t> ids) {
  Array x = device.allocate(DType::i32, Shape{std::ssize(ids)});
  device.upload({DType::i32, ids.data(), std::ssize(ids)}, x);
  return x;
}

// One f64, as sums and scales are.
inline Array f64_of(Device& device, double value) {
  Array x = device.allocate(DType::f64, Shape{1});
  device.upload({DType::f64, &value, 1}, x);
  return x;
}

inline bool same_bits(const Array& a, const Array& b) {
  return a.bytes() == b.bytes() &&
         std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())) == 0;
}

inline bool same_bits(const std::vector<Array>& a, const std::vector<Array>& b) {
  bool same = a.size() == b.size();
  for (size_t i = 0; same && i < a.size(); ++i) same = same_bits(a[i], b[i]);
  return same;
}

// The relative error of n roundings, one on top of the other (Higham 2002, lemma 3.1):
// |Π (1 + δ_i) - 1| <= γ_n = n u / (1 - n u) where every |δ_i| <= u.
template <class Real>
double gamma_of(int64_t n) {
  const double nu = static_cast<double>(n) * unit_roundoff(dtype_of<Real>);
  return nu / (1 - nu);
}

// The exact results are computed in this, naively: 64 bits of mantissa where the target has them,
// so that its own error is far below the bounds for double too.
using Exact = long double;

inline bool within(double got, Exact exact, double bound) {
  return std::abs(static_cast<Exact>(got) - exact) <= static_cast<Exact>(bound);  // NaN fails
}

}  // namespace tplab
