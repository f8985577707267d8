// Sums and maxima over a warp and over a block, in an order that is always the same.
#pragma once

#include "sim/cuda/language.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
// NaN if either is NaN.
struct Largest {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};

// Every lane gets the result. REQUIRES: all lanes of the warp.
template <class T, class F>
__device__ __forceinline__ T over_warp(T x, F f) {
  for (int with = kWarp / 2; with > 0; with /= 2) x = f(x, __shfl_xor_sync(kAllLanes, x, with));
  return x;
}

// Each of the numbers becomes its result over the block, for every thread.
// REQUIRES: all threads of a block of whole warps, at most 1024, one behind the other in x.
template <int kCount, class T, class F>
__device__ __forceinline__ void over_block(T (&x)[kCount], F f) {
  TPLAB_SHARED(T, of_warp, [kWarp][kCount]);
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (T& one : x) one = over_warp(one, f);
  if (blockDim.x == kWarp) return;
  __syncthreads();  // the last call's results have been read
  if (lane == 0)
    for (int i = 0; i < kCount; ++i) of_warp[warp][i] = x[i];
  __syncthreads();
  for (int i = 0; i < kCount; ++i) {
    x[i] = of_warp[0][i];
    for (unsigned w = 1; w < blockDim.x / kWarp; ++w) x[i] = f(x[i], of_warp[w][i]);
  }
}

template <class T>
__device__ __forceinline__ T warp_sum(T x) {
  return over_warp(x, Plus());
}
template <class T>
__device__ __forceinline__ T block_sum(T x) {
  T one[1] = {x};
  over_block(one, Plus());
  return one[0];
}
template <class T>
__device__ __forceinline__ T block_max(T x) {
  T one[1] = {x};
  over_block(one, Largest());
  return one[0];
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
