// A norm of one row, by a block.
#pragma once

#include <cmath>

#include "sim/cuda/few_rows.h"
#include "sim/cuda/numbers.h"
#include "sim/cuda/reduce.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

// The mean over a row; every thread gets it.
template <int kWidth, class Real>
__device__ Computed<Real> mean_of(const Real* row, int64_t C) {
  Computed<Real> sum = 0;
  for_my_packs<kWidth>(C, [&](int64_t c) {
    const auto pack = load_pack<kWidth>(row + c);
    for (int j = 0; j < kWidth; ++j) sum += pack.value[j];
  });
  return block_sum(sum) / static_cast<Computed<Real>>(C);
}

// y = (x - mean) / sqrt(mean((x - mean)²) + eps) * (weight + plus) + bias, or where it is not
// centred an RMS norm, which has no mean. Two passes over the row, which the first cache has after
// the first. y may be x: a thread writes what it alone reads.   bias: [C] or null
template <bool kCentred, int kWidth, class Real>
__device__ void normalise_row(const Real* x, const Real* weight, const Real* bias, Real* y,
                              int64_t C, Computed<Real> eps, Computed<Real> plus) {
  using Sum = Computed<Real>;
  Sum mean = 0, squares = 0;
  if constexpr (kCentred) mean = mean_of<kWidth>(x, C);
  for_my_packs<kWidth>(C, [&](int64_t c) {
    const auto pack = load_pack<kWidth>(x + c);
    for (int j = 0; j < kWidth; ++j) squares += (pack.value[j] - mean) * (pack.value[j] - mean);
  });
  const Sum scale = Sum(1) / std::sqrt(block_sum(squares) / static_cast<Sum>(C) + eps);
  for_my_packs<kWidth>(C, [&](int64_t c) {
    auto pack = load_pack<kWidth>(x + c);
    const auto w = load_pack<kWidth>(weight + c);
    for (int j = 0; j < kWidth; ++j)
      pack.value[j] = (pack.value[j] - mean) * scale * (w.value[j] + plus);
    if (bias) {
      const auto b = load_pack<kWidth>(bias + c);
      for (int j = 0; j < kWidth; ++j) pack.value[j] += b.value[j];
    }
    store_pack(y + c, pack);
  });
}

// Threads of its block: of few rows those of few_rows.cu, which may normalise them too, with the
// same bits.
template <int kWidth>
unsigned threads_of_norm(int64_t rows, int64_t C) {
  return rows <= kMostFewRows ? kFewRowsThreads : threads_for_row<kWidth>(C);
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
