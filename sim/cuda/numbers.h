// What acts on one number at a time: which numbers are a thread's.
#pragma once

#include <type_traits>

#include "sim/cuda/vectors.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

constexpr int kThreads = 256;

// f(width, i), width a constant: for this thread's numbers from i on, a pack at once where it is
// whole, else one by one.
template <int kWidth, class F>
__device__ __forceinline__ void for_my_numbers(int64_t count, F f) {
  const int64_t first = kWidth * (int64_t{blockIdx.x} * blockDim.x + threadIdx.x);
  if (first + kWidth <= count) {
    f(std::integral_constant<int, kWidth>(), first);
  } else {
    for (int64_t i = first; i < count; ++i) f(std::integral_constant<int, 1>(), i);
  }
}
template <int kWidth>
unsigned blocks_for_numbers(int64_t count) {
  return blocks_for(count, int64_t{kThreads} * kWidth);
}

// f(i) for a row's packs from i on that are this thread's of its block.
template <int kWidth, class F>
__device__ __forceinline__ void for_my_packs(int64_t row, F f) {
  for (int64_t i = int64_t{kWidth} * threadIdx.x; i < row; i += int64_t{kWidth} * blockDim.x) f(i);
}
// Threads for a block that works on a row: whole warps, one pack each where that is enough.
template <int kWidth>
unsigned threads_for_row(int64_t row, int64_t most = kThreads) {
  const int64_t warps = (row + int64_t{kWidth} * kWarp - 1) / (int64_t{kWidth} * kWarp);
  return static_cast<unsigned>(kWarp * (warps < 1              ? 1
                                        : warps > most / kWarp ? most / kWarp
                                                               : warps));
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
