// Dot products that stream a matrix from memory: what decoding one token consists of.
#pragma once

#include "sim/cpu/math.h"

namespace tplab::cpu {

// out[r * out_stride] = x row r · w for Rows rows of x. The row w is read once, front to back: on
// the machines measured, one sequential stream reaches the memory's full bandwidth, and four rows
// side by side half of it. Each sum runs over four registers, in an order that only k decides.
template <class Real, int Rows>
void dot(const Real* x, int64_t x_stride, const Real* w, int64_t k, Real* out, int64_t out_stride) {
  using Eigen::internal::padd;
  constexpr int64_t kSums = 4, kStep = kSums * kWidth<Real>;
  Packet<Real> sums[Rows][kSums];
  for (auto& row : sums) {
    for (auto& sum : row) sum = all(Real(0));
  }
  int64_t i = 0;
  for (; i + kStep <= k; i += kStep) {
    for (int64_t s = 0; s < kSums; ++s) {
      const Packet<Real> wi = load(w + i + s * kWidth<Real>);
      for (int64_t r = 0; r < Rows; ++r) {
        sums[r][s] = fma(load(x + r * x_stride + i + s * kWidth<Real>), wi, sums[r][s]);
      }
    }
  }
  for (; i + kWidth<Real> <= k; i += kWidth<Real>) {
    for (int64_t r = 0; r < Rows; ++r) {
      sums[r][0] = fma(load(x + r * x_stride + i), load(w + i), sums[r][0]);
    }
  }
  for (int64_t r = 0; r < Rows; ++r) {
    Real sum =
        Eigen::internal::predux(padd(padd(sums[r][0], sums[r][1]), padd(sums[r][2], sums[r][3])));
    for (int64_t rest = i; rest < k; ++rest) sum += x[r * x_stride + rest] * w[rest];
    out[r * out_stride] = sum;
  }
}

}  // namespace tplab::cpu
