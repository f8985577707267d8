// What is an instruction and no C++: each a function, its PTX on the GPU and its documented meaning
// on the host. source: the PTX ISA manual, at the instruction's name.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>

#include "sim/bf16.h"
#include "sim/cuda/language.h"

#ifdef __CUDACC__
#define TPLAB_HERE_TOO
#else
// A function that checks on the host says where it was called.
#define TPLAB_HERE_TOO , TPLAB_HERE
#endif

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

#ifdef __CUDACC__
__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
#endif

// --- Numbers.

// Rounded to nearest, ties to even. cvt.rn.bf16.f32
__device__ __forceinline__ bf16 to_bf16(float x) {
#ifdef __CUDACC__
  bf16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
#else
  return bf16(x);
#endif
}

// Two of them in one register, `low` in its lower half. cvt.rn.bf16x2.f32
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
#ifdef __CUDACC__
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return bf16(low).bits | uint32_t{bf16(high).bits} << 16;
#endif
}
__device__ __forceinline__ float low_of(uint32_t pair) {
#ifdef __CUDACC__
  return __uint_as_float(pair << 16);
#else
  return std::bit_cast<float>(pair << 16);
#endif
}
__device__ __forceinline__ float high_of(uint32_t pair) {
#ifdef __CUDACC__
  return __uint_as_float(pair & 0xffff0000u);
#else
  return std::bit_cast<float>(pair & 0xffff0000u);
#endif
}

// 2^x with a relative error of 2^-22; numbers below 2^-126 are 0. ex2.approx.ftz.f32
__device__ __forceinline__ float exp2_fast(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  const float y = std::exp2(x);
  return y < 0x1p-126f ? 0 : y;
#endif
}

// --- Tensor cores.

// d += a b for a warp: a [16, 16] and b [16, 8] of bf16, d [16, 8] of f32. A lane holds, with
// g = lane / 4 and t = lane % 4, pairs of bf16, the lower column or row in the lower half:
//   a: (g, 2t ..), (g + 8, 2t ..), (g, 2t + 8 ..), (g + 8, 2t + 8 ..)
//   b: (2t .., g), (2t + 8 .., g)      d: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
// mma.sync.aligned.m16n8k16
__device__ __forceinline__ void mma_16x8x16(float (&d)[4], const uint32_t (&a)[4],
                                            const uint32_t (&b)[2] TPLAB_HERE_TOO) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  struct Fragments {
    float* d;
    const uint32_t *a, *b;
  };
  Fragments mine{d, a, b};
  cuda_host::wait_for_lanes(kAllLanes,
                            [](const cuda_host::Lanes& lanes) {
                              float A[16][16], B[16][8];
                              for (int lane = 0; lane < 32; ++lane) {
                                const auto& from = *static_cast<const Fragments*>(lanes.of[lane]);
                                const int g = lane / 4, t = lane % 4;
                                for (int half = 0; half < 2; ++half) {
                                  const auto of = [half](uint32_t pair) {
                                    return half ? high_of(pair) : low_of(pair);
                                  };
                                  for (int i = 0; i < 4; ++i)
                                    A[g + i % 2 * 8][2 * t + i / 2 * 8 + half] = of(from.a[i]);
                                  for (int i = 0; i < 2; ++i)
                                    B[2 * t + i * 8 + half][g] = of(from.b[i]);
                                }
                              }
                              for (int lane = 0; lane < 32; ++lane) {
                                float* const to = static_cast<const Fragments*>(lanes.of[lane])->d;
                                for (int i = 0; i < 4; ++i) {
                                  const int row = lane / 4 + i / 2 * 8, col = lane % 4 * 2 + i % 2;
                                  float sum = 0;
                                  for (int k = 0; k < 16; ++k) sum += A[row][k] * B[k][col];
                                  to[i] += sum;
                                }
                              }
                            },
                            &mine, {file, line});
#endif
}

// kCount matrices [8, 8] of bf16 from shared memory, spread over a warp as mma wants its fragments:
// lane 8 i + r gives the address of row r of matrix i, 16 bytes at a multiple of 16; every lane
// gets of each matrix the pair (lane / 4, 2 (lane % 4) ..), or of the transposed one with
// kTransposed: (2 (lane % 4) .., lane / 4). What lanes past 8 kCount give is not looked at.
// ldmatrix.sync.aligned.m8n8.x1/x2/x4[.trans].shared.b16
template <int kCount, bool kTransposed = false>
__device__ __forceinline__ void load_matrices(uint32_t (&r)[kCount],
                                              const void* from TPLAB_HERE_TOO) {
  static_assert(kCount == 1 || kCount == 2 || kCount == 4);
#ifdef __CUDACC__
  const uint32_t at = shared_address(from);
  if constexpr (kCount == 1 && !kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
                 : "=r"(r[0])
                 : "r"(at)
                 : "memory");
  if constexpr (kCount == 1 && kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                 : "=r"(r[0])
                 : "r"(at)
                 : "memory");
  if constexpr (kCount == 2 && !kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(at)
                 : "memory");
  if constexpr (kCount == 2 && kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(at)
                 : "memory");
  if constexpr (kCount == 4 && !kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
  if constexpr (kCount == 4 && kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
#else
  if (threadIdx.x % 32 < 8 * kCount) cuda_host::expect_aligned(from, 16, {file, line});
  struct Rows {
    const void* row;
    uint32_t* r;
  };
  Rows mine{from, r};
  cuda_host::wait_for_lanes(
      kAllLanes,
      [](const cuda_host::Lanes& lanes) {
        for (int i = 0; i < kCount; ++i) {
          uint16_t matrix[8][8];
          for (int row = 0; row < 8; ++row)
            std::memcpy(matrix[row], static_cast<const Rows*>(lanes.of[8 * i + row])->row, 16);
          for (int lane = 0; lane < 32; ++lane) {
            const int g = lane / 4, t = lane % 4 * 2;
            const uint16_t low = kTransposed ? matrix[t][g] : matrix[g][t];
            const uint16_t high = kTransposed ? matrix[t + 1][g] : matrix[g][t + 1];
            static_cast<const Rows*>(lanes.of[lane])->r[i] = low | uint32_t{high} << 16;
          }
        }
      },
      &mine, {file, line});
#endif
}

// --- Asynchronous copies, 16 bytes from global to shared memory, both at multiples of 16. What was
// copied is there for the thread that asked once it has waited, for others after a barrier behind
// that. On the host it is copied by the wait, and until then `to` holds NaN bytes.

// Zeros are written where `real` is false, and `from` is not read. cp.async.cg.shared.global
__device__ __forceinline__ void copy_async_16(void* to, const void* from,
                                              bool real = true TPLAB_HERE_TOO) {
#ifdef __CUDACC__
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(real ? 16 : 0)
               : "memory");
#else
  cuda_host::expect_aligned(to, 16, {file, line});
  if (real) cuda_host::expect_aligned(from, 16, {file, line});
  std::memset(to, 0xff, 16);
  cuda_host::current_thread->open_group.push_back({to, real ? from : nullptr, 16});
#endif
}
// What was asked for since the last one is a group. cp.async.commit_group
__device__ __forceinline__ void commit_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  cuda_host::Thread& thread = *cuda_host::current_thread;
  thread.groups.push_back(std::move(thread.open_group));
  thread.open_group.clear();
#endif
}
// Until all but the last kGroups groups are there. cp.async.wait_group
template <int kGroups>
__device__ __forceinline__ void wait_for_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
#else
  auto& groups = cuda_host::current_thread->groups;
  while (groups.size() > kGroups) {
    for (const cuda_host::AsyncCopy& copy : groups.front()) {
      if (copy.from) {
        std::memcpy(copy.to, copy.from, copy.bytes);
      } else {
        std::memset(copy.to, 0, copy.bytes);
      }
    }
    groups.erase(groups.begin());
  }
#endif
}

// --- Sixteen bytes of global memory at once, at a multiple of 16.

struct alignas(16) Bytes16 {
  uint32_t word[4];
};

__device__ __forceinline__ Bytes16 load_16(const void* from TPLAB_HERE_TOO) {
#ifdef __CUDACC__
  const uint4 x = *static_cast<const uint4*>(from);
  return {{x.x, x.y, x.z, x.w}};
#else
  cuda_host::expect_aligned(from, 16, {file, line});
  Bytes16 x;
  std::memcpy(&x, from, 16);
  return x;
#endif
}
// Of what nobody writes while the kernel runs and nobody reads again: it takes no room in the first
// cache. ld.global.nc.L1::no_allocate
__device__ __forceinline__ Bytes16 load_16_once(const void* from TPLAB_HERE_TOO) {
#ifdef __CUDACC__
  Bytes16 x;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(x.word[0]), "=r"(x.word[1]), "=r"(x.word[2]), "=r"(x.word[3])
               : "l"(from));
  return x;
#else
  return load_16(from, file, line);
#endif
}
__device__ __forceinline__ void store_16(void* to, const Bytes16& x TPLAB_HERE_TOO) {
#ifdef __CUDACC__
  *static_cast<uint4*>(to) = make_uint4(x.word[0], x.word[1], x.word[2], x.word[3]);
#else
  cuda_host::expect_aligned(to, 16, {file, line});
  std::memcpy(to, &x, 16);
#endif
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
