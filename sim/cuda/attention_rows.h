// Attention of one query by one block, in passes over chunks of keys: plain, for what no tensor
// core computes. No array of queries times keys is in memory.
#pragma once

#include <cmath>
#include <limits>

#include "sim/cuda/dropout.h"
#include "sim/cuda/numbers.h"
#include "sim/cuda/reduce.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

constexpr int kKeysAtOnce = 128;  // a thread each

// One query, the keys and values that it sees, and its result.
template <class Real>
struct AttentionRow {
  const Real *q, *keys, *values;  // rows of keys and values are `pitch` numbers apart
  int64_t n, D, pitch;
  Computed<Real> scale;
  Real* y;
  const DropoutNumbers<Computed<Real>>* dropout;  // null: none
  int64_t first_number;                           // of the mask, of key 0
};

// a · b
template <class Sum, class Real, class Other>
__device__ __forceinline__ Sum dot_of(const Real* a, const Other* b, int64_t D) {
  Sum sum = 0;
  for (int64_t d = 0; d < D; ++d) sum += static_cast<Sum>(a[d]) * static_cast<Sum>(b[d]);
  return sum;
}

// y = softmax(scale q Kᵀ) V, by a block of kKeysAtOnce threads with D sums of dynamic shared
// memory. Returns log Σ exp(scale (score - the largest)), to every thread. source: Milakov and
// Gimelshein 2018 (the sum is scaled anew where a larger score comes)
template <class Real>
__device__ Computed<Real> attend_row(const AttentionRow<Real>& a) {
  using Sum = Computed<Real>;
  TPLAB_SHARED(Sum, weights, [kKeysAtOnce]);
  Sum* const sums = dynamic_shared<Sum>();
  Sum largest = -std::numeric_limits<Sum>::infinity(), total = 0;
  for (int64_t d = threadIdx.x; d < a.D; d += blockDim.x) sums[d] = 0;
  for (int64_t begin = 0; begin < a.n; begin += kKeysAtOnce) {
    const int64_t key = begin + threadIdx.x, here = std::min<int64_t>(kKeysAtOnce, a.n - begin);
    Sum score = -std::numeric_limits<Sum>::infinity();
    if (key < a.n) score = dot_of<Sum>(a.q, a.keys + key * a.pitch, a.D);
    const Sum before = largest;
    largest = Largest()(before, block_max(score));
    const Sum shrink = begin == 0 ? Sum(0) : std::exp((before - largest) * a.scale);
    Sum weight = key < a.n ? std::exp((score - largest) * a.scale) : Sum(0);
    total = total * shrink + block_sum(weight);
    if (a.dropout && key < a.n) weight *= a.dropout->factor(a.first_number + key);
    weights[threadIdx.x] = weight;
    __syncthreads();
    for (int64_t d = threadIdx.x; d < a.D; d += blockDim.x) {
      Sum sum = sums[d] * shrink;
      for (int64_t j = 0; j < here; ++j)
        sum += weights[j] * static_cast<Sum>(a.values[(begin + j) * a.pitch + d]);
      sums[d] = sum;
    }
    __syncthreads();
  }
  for (int64_t d = threadIdx.x; d < a.D; d += blockDim.x) a.y[d] = converted<Real>(sums[d] / total);
  return std::log(total);
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
