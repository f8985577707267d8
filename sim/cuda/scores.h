// From products of queries and keys to probabilities, in base 2: what the attention kernels on
// tensor cores share.
#pragma once

#include "sim/cuda/attention_tiles.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

// What a row of y is multiplied with in the end, and the L of op::CausalAttention.
struct RowEnd {
  float factor, log_sum;
};

// u_j = q·k_j and a = scale, or with a soft cap c: u_j = c tanh(scale q·k_j / c) and a = 1.
struct Scores {
  float softcap;  // 0: none
  float per_cap;  // scale / softcap
  float a;
  float to_base_2;  // exp(a x) = 2^(to_base_2 x)

  static constexpr float kLog2e = 1.44269504f, kLn2 = 0.693147181f;

  __device__ __forceinline__ Scores(float scale, float cap)
      : softcap(cap),
        per_cap(cap > 0 ? scale / cap : 0),
        a(cap > 0 ? 1 : scale),
        to_base_2(kLog2e * (cap > 0 ? 1 : scale)) {}

  __device__ __forceinline__ bool capped() const { return softcap > 0; }
  // tanh x = 1 - 2 / (1 + exp(2 x)), 0 and infinity being right; its error is absolute, 2^-22.
  __device__ __forceinline__ float cap(float product) const {
    const float power = exp2_fast(2 * kLog2e * per_cap * product);
    return softcap * (1 - 2 / (1 + power));
  }
  // du / d(scale product) of a capped u.
  __device__ __forceinline__ float slope(float u) const {
    const float part = u / softcap;
    return 1 - part * part;
  }
  template <int kTiles, int kCount>
  __device__ __forceinline__ void cap(float (&s)[kTiles][kCount][4]) const {
    TPLAB_UNROLL
    for (int m = 0; m < kTiles; ++m) TPLAB_UNROLL
    for (int n = 0; n < kCount; ++n) TPLAB_UNROLL
    for (int e = 0; e < 4; ++e) s[m][n][e] = cap(s[m][n][e]);
  }

  // From a row's largest u and its sum of 2^fma(u, to_base_2, -shift), shift being the rounded
  // product of the largest and to_base_2. A sink is compared to the largest as scores are:
  // whichever is less has a power at most 1.
  __device__ __forceinline__ RowEnd end_of_row(float largest, float sum, const bf16* sink) const {
    const float shift = largest * to_base_2;
    const float lost = fmaf(largest, to_base_2, -shift);  // of the product, by rounding it
    if (!sink) return {1 / sum, kLn2 * (log2f(sum) - lost)};
    const float above = low_of(sink->bits) * kLog2e - shift;
    if (!(above > 0)) {
      const float all = sum + exp2_fast(above);
      return {1 / all, kLn2 * (log2f(all) - lost)};
    }
    const float down = exp2_fast(-above), all = fmaf(sum, down, 1.0f);
    return {down / all, kLn2 * (above + log2f(all) - lost)};
  }
};

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
