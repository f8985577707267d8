// Dropout's masks in a kernel: the same numbers as the CPU's, for they are RandomStream's.
#pragma once

#include <algorithm>
#include <cmath>

#include "sim/cuda/language.h"
#include "sim/ops/operation.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

// Philox4x32-10 of one counter (Salmon et al. 2011).
struct PhiloxWords {
  uint32_t x, y, z, w;
  __device__ uint32_t operator[](int i) const { return i < 2 ? (i == 0 ? x : y) : i == 2 ? z : w; }
};
__device__ inline PhiloxWords philox(uint64_t block, uint64_t stream, uint64_t key) {
  PhiloxWords c{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)};
  auto key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * c.x, product1 = uint64_t{0xCD9E8D57} * c.z;
    c = {static_cast<uint32_t>(product1 >> 32) ^ c.y ^ key0, static_cast<uint32_t>(product1),
         static_cast<uint32_t>(product0 >> 32) ^ c.w ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return c;
}

// A DropoutMask as a kernel takes it.
template <class Sum>
struct DropoutNumbers {
  uint64_t key, stream;
  uint32_t below;  // numbers below are dropped
  Sum kept;        // what the others are multiplied with

  explicit DropoutNumbers(const DropoutMask& mask)
      : key(mask.stream.key()),
        stream(mask.stream.stream()),
        below(static_cast<uint32_t>(std::min(std::ceil(mask.rate * 0x1p32), 0x1p32 - 1))),
        kept(static_cast<Sum>(1 / (1 - mask.rate))) {}

  // factors[i] = 0 where number first + i is dropped, else 1 / (1 - rate).
  template <int kCount>
  __device__ void factors(int64_t first, Sum (&factors)[kCount]) const {
    auto block = static_cast<uint64_t>(first) / 4;
    PhiloxWords words = philox(block, stream, key);
    for (int i = 0; i < kCount; ++i) {
      const auto number = static_cast<uint64_t>(first + i);
      if (number / 4 != block) words = philox(block = number / 4, stream, key);
      factors[i] = words[static_cast<int>(number % 4)] < below ? Sum(0) : kept;
    }
  }
  __device__ Sum factor(int64_t number) const {
    Sum one[1];
    factors(number, one);
    return one[0];
  }
};

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
