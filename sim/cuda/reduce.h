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

// Every thread gets the result. REQUIRES: all threads of a block of whole warps, at most 1024, one
// behind the other in x.
template <class T, class F>
__device__ __forceinline__ T over_block(T x, F f) {
  TPLAB_SHARED(T, of_warp, [kWarp]);
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  x = over_warp(x, f);
  if (blockDim.x == kWarp) return x;
  __syncthreads();  // the last call's results have been read
  if (lane == 0) of_warp[warp] = x;
  __syncthreads();
  x = of_warp[0];
  for (unsigned w = 1; w < blockDim.x / kWarp; ++w) x = f(x, of_warp[w]);
  return x;
}

template <class T>
__device__ __forceinline__ T warp_sum(T x) {
  return over_warp(x, Plus());
}
template <class T>
__device__ __forceinline__ T block_sum(T x) {
  return over_block(x, Plus());
}
template <class T>
__device__ __forceinline__ T block_max(T x) {
  return over_block(x, Largest());
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
