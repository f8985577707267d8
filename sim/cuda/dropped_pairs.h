// Which probabilities of attention dropout drops: DropoutMask's numbers, where a kernel wants them.
#pragma once

#include <algorithm>
#include <cmath>

#include "sim/cuda/language.h"
#include "sim/ops/operation.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

struct PhiloxWords {
  uint32_t word[4];
};

// The block-th four numbers of a stream: RandomStream::bits on the device.
// source: Philox4x32-10, Salmon et al. 2011
__device__ __forceinline__ PhiloxWords philox_words(uint64_t block, uint64_t stream,
                                                    uint64_t seed) {
  uint32_t c0 = static_cast<uint32_t>(block), c1 = static_cast<uint32_t>(block >> 32);
  uint32_t c2 = static_cast<uint32_t>(stream), c3 = static_cast<uint32_t>(stream >> 32);
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * c0, product1 = uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ key0;
    c2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ key1;
    c1 = static_cast<uint32_t>(product1);
    c3 = static_cast<uint32_t>(product0);
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return {{c0, c1, c2, c3}};
}

// A DropoutMask as kernels take it.
struct DroppedPairs {
  uint64_t seed, stream;
  uint32_t below;  // a number below it drops its pair
  double kept;     // what stays is multiplied with: 1 / (1 - rate)
  int64_t first_sequence, whole_heads, first_head, whole_length;

  // The number of the pair (b, h, query, 0).
  __device__ int64_t first_of(int64_t b, int64_t h, int64_t query) const {
    const int64_t head = (first_sequence + b) * whole_heads + first_head + h;
    return (head * whole_length + query) * whole_length;
  }
  __device__ PhiloxWords words(int64_t block) const {
    return philox_words(static_cast<uint64_t>(block), stream, seed);
  }
  __device__ bool keeps(int64_t number) const {
    const PhiloxWords four = words(number / 4);
    uint32_t mine = four.word[0];
    for (int i = 1; i < 4; ++i)
      if (number % 4 == i) mine = four.word[i];
    return mine >= below;
  }
};

inline DroppedPairs dropped_pairs(const DropoutMask& mask) {
  return {.seed = mask.stream.key(),
          .stream = mask.stream.stream(),
          .below = static_cast<uint32_t>(std::min(std::ceil(mask.rate * 0x1p32), 0x1p32 - 1)),
          .kept = 1 / (1 - mask.rate),
          .first_sequence = mask.first_sequence,
          .whole_heads = mask.whole_heads,
          .first_head = mask.first_head,
          .whole_length = mask.whole_length};
}

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
  const uint32_t low = __shfl_xor_sync(kAllLanes, odd ? mine.word[0] : mine.word[2], 1);
  const uint32_t high = __shfl_xor_sync(kAllLanes, odd ? mine.word[1] : mine.word[3], 1);
  keeps[0] = (odd ? low : mine.word[0]) >= d.below;
  keeps[1] = (odd ? high : mine.word[1]) >= d.below;
  keeps[2] = (odd ? mine.word[2] : low) >= d.below;
  keeps[3] = (odd ? mine.word[3] : high) >= d.below;
}

// Of keys (rows) and queries (columns): the lane's first number is (query, key), key for lane / 4.
__device__ __forceinline__ void keeps_by_key(const DroppedPairs& d, int64_t first, int query,
                                             int key, bool (&keeps)[4]) {
  if (d.whole_length % 4 != 0) {
    for (int e = 0; e < 4; ++e)
      keeps[e] = d.keeps(first + (query + e % 2) * d.whole_length + key + e / 2 * 8);
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
  swap(w.word[0], w.word[1], odd, 4);
  swap(w.word[2], w.word[3], odd, 4);
  swap(w.word[0], w.word[2], upper, 8);
  swap(w.word[1], w.word[3], upper, 8);
  for (int i = 0; i < 4; ++i) keeps[i] = w.word[i] >= d.below;
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
