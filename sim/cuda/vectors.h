// What kernels for several dtypes share: numbers as they are computed with, and packs of them,
// loaded and stored at once.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "sim/bf16.h"
#include "sim/cuda/instructions.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

// What numbers of a type are computed with, and summed in: accumulator(dtype).
template <class Real>
using Computed = std::conditional_t<std::is_same_v<Real, bf16>, float, Real>;

template <class To, class From>
__device__ __forceinline__ To converted(From x) {
  if constexpr (std::is_same_v<To, bf16> && std::is_same_v<From, float>) {
    return to_bf16(x);
  } else {
    return static_cast<To>(x);
  }
}

// As many numbers as 16 bytes hold.
template <class Real>
constexpr int kFull = static_cast<int>(16 / sizeof(Real));

// kWidth consecutive numbers: 1, or kFull, which must begin at a multiple of 16 bytes.
template <class Real, int kWidth>
struct Pack {
  static_assert(kWidth == 1 || kWidth == kFull<Real>);
  Computed<Real> value[kWidth];
};

// The numbers in sixteen bytes.
template <class Real>
__device__ __forceinline__ Pack<Real, kFull<Real>> unpacked(const Bytes16& bytes) {
  Pack<Real, kFull<Real>> pack;
  if constexpr (std::is_same_v<Real, bf16>) {
    for (int i = 0; i < 4; ++i) {
      pack.value[2 * i] = low_of(bytes.word[i]);
      pack.value[2 * i + 1] = high_of(bytes.word[i]);
    }
  } else {
    static_assert(sizeof pack == sizeof bytes);
    memcpy(&pack, &bytes, sizeof pack);
  }
  return pack;
}

template <int kWidth, class Real>
__device__ __forceinline__ Pack<Real, kWidth> load_pack(const Real* from TPLAB_HERE_TOO) {
  if constexpr (kWidth == 1) {
    return {{static_cast<Computed<Real>>(*from)}};
  } else {
#ifdef __CUDACC__
    return unpacked<Real>(load_16(from));
#else
    return unpacked<Real>(load_16(from, file, line));
#endif
  }
}

template <int kWidth, class Real>
__device__ __forceinline__ void store_pack(Real* to,
                                           const Pack<Real, kWidth>& pack TPLAB_HERE_TOO) {
  if constexpr (kWidth == 1) {
    *to = converted<Real>(pack.value[0]);
  } else {
    Bytes16 bytes;
    if constexpr (std::is_same_v<Real, bf16>) {
      for (int i = 0; i < 4; ++i)
        bytes.word[i] = pack_bf16(pack.value[2 * i], pack.value[2 * i + 1]);
    } else {
      memcpy(&bytes, &pack, sizeof pack);
    }
#ifdef __CUDACC__
    store_16(to, bytes);
#else
    store_16(to, bytes, file, line);
#endif
  }
}

// to[0 .. kWidth) = the numbers, rounded to another dtype where that is one; at once where they are
// four, and then at a multiple of 8 bytes.
template <class To, int kWidth, class Real>
__device__ __forceinline__ void store_as(To* to, const Pack<Real, kWidth>& pack) {
  if constexpr (std::is_same_v<To, bf16> && kWidth == 4) {
    const uint32_t words[2] = {pack_bf16(pack.value[0], pack.value[1]),
                               pack_bf16(pack.value[2], pack.value[3])};
    // nvcc 13.0 takes no pointer but void* here.
    memcpy(__builtin_assume_aligned(static_cast<void*>(to), sizeof words), words, sizeof words);
  } else {
    for (int i = 0; i < kWidth; ++i) to[i] = converted<To>(pack.value[i]);
  }
}

// Whether rows of `count` numbers, all of them one behind the other, are whole packs that begin at
// multiples of 16 bytes, in each of the arrays. Null fits.
template <class Real>
bool are_packs(int64_t count, std::initializer_list<const void*> arrays) {
  bool fits = count % kFull<Real> == 0;
  for (const void* const array : arrays) fits &= reinterpret_cast<uintptr_t>(array) % 16 == 0;
  return fits;
}

// f(width) with a constant: kFull<Real> where packed, else 1.
template <class Real, class F>
void with_width(bool packed, F f) {
  if (packed) {
    f(std::integral_constant<int, kFull<Real>>());
  } else {
    f(std::integral_constant<int, 1>());
  }
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
