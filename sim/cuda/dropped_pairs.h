// Which probabilities of attention dropout drops: DropoutMask's numbers, where a kernel wants them.
#pragma once

#include "sim/cuda/dropout.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

// A DropoutMask of probabilities as kernels take it.
struct DroppedPairs {
  DropoutNumbers<double> numbers;
  int64_t first_sequence, whole_heads, first_head, whole_length;

  explicit DroppedPairs(const DropoutMask& mask)
      : numbers(mask),
        first_sequence(mask.first_sequence),
        whole_heads(mask.whole_heads),
        first_head(mask.first_head),
        whole_length(mask.whole_length) {}

  // The number of the pair (b, h, query, 0).
  __device__ int64_t first_of(int64_t b, int64_t h, int64_t query) const {
    const int64_t head = (first_sequence + b) * whole_heads + first_head + h;
    return (head * whole_length + query) * whole_length;
  }
  __device__ PhiloxWords words(int64_t block) const {
    return philox(static_cast<uint64_t>(block), numbers.stream, numbers.key);
  }
  __device__ bool keeps(int64_t number) const {
    return words(number / 4)[static_cast<int>(number % 4)] >= numbers.below;
  }
};

// Which of a lane's four numbers of a tile [16, 8] of D = A B, as mma_16x8x16 spreads it, stay.
// Four neighbouring keys are a block of the stream where rows of pairs begin at multiples of 4;
// lanes that share blocks then draw a block each and tell one another. Else each lane draws its
// own. REQUIRES: all lanes of the warp.

// Of queries (rows) and keys (columns): the lane's first number is (query, key), query for lane / 4
// and key even for lane % 4. `first`: first_of(b, h, 0).
__device__ __forceinline__ void keeps_by_query(const DroppedPairs& d, int64_t first, int query,
                                               int key, bool (&keeps)[4]) {
  if (d.whole_length % 4 != 0) {
    for (int e = 0; e < 4; ++e)
      keeps[e] = d.keeps(first + (query + e / 2 * 8) * d.whole_length + key + e % 2);
    return;
  }
  // Lanes 2i and 2i + 1 have the two halves of a block in each of two rows.
  const bool odd = threadIdx.x % 2 != 0;
  const int64_t number = first + (query + (odd ? 8 : 0)) * d.whole_length + key;
  const PhiloxWords mine = d.words(number / 4);
  const uint32_t low = __shfl_xor_sync(kAllLanes, odd ? mine.x : mine.z, 1);
  const uint32_t high = __shfl_xor_sync(kAllLanes, odd ? mine.y : mine.w, 1);
  keeps[0] = (odd ? low : mine.x) >= d.numbers.below;
  keeps[1] = (odd ? high : mine.y) >= d.numbers.below;
  keeps[2] = (odd ? mine.z : low) >= d.numbers.below;
  keeps[3] = (odd ? mine.w : high) >= d.numbers.below;
}

// Of keys (rows) and queries (columns): the lane's first number is (query, key), key for lane / 4.
__device__ __forceinline__ void keeps_by_key(const DroppedPairs& d, int64_t first, int query,
                                             int key, bool (&keeps)[4]) {
  if (d.whole_length % 4 != 0) {
    for (int e = 0; e < 4; ++e) {
      const int row = key + e / 2 * 8;
      keeps[e] = d.keeps(first + (query + e % 2) * d.whole_length + row);
    }
    return;
  }
  // The four lanes of one lane % 4 whose keys are neighbours have a word each of four blocks, one
  // for each e: lane j of them draws that of e = j, then words and blocks are transposed.
  const unsigned j = threadIdx.x / 4 % 4;
  const int64_t number = first + (query + static_cast<int>(j % 2)) * d.whole_length + key +
                         static_cast<int>(j / 2 * 8);
  PhiloxWords w = d.words(number / 4);
  const bool odd = j % 2 != 0, upper = j / 2 != 0;
  const auto swap = [](uint32_t& x, uint32_t& y, bool give_x, int with) {
    const uint32_t got = __shfl_xor_sync(kAllLanes, give_x ? x : y, with);
    x = give_x ? got : x;
    y = give_x ? y : got;
  };
  swap(w.x, w.y, odd, 4);
  swap(w.z, w.w, odd, 4);
  swap(w.x, w.z, upper, 8);
  swap(w.y, w.w, upper, 8);
  for (int i = 0; i < 4; ++i) keeps[i] = w[i] >= d.numbers.below;
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
