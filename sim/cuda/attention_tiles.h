// Tiles of bf16 numbers in shared memory, and their products on tensor cores: what the attention
// kernels share.
//
// A tile [rows, columns] lies there in panels of 64 columns, so that a row of a panel is 128 bytes,
// all 32 banks, in 8 chunks of 16. Chunk c of row r is stored as chunk c ^ (r % 8): the eight rows
// of a matrix that load_matrices reads then lie in different banks, and so do the eight chunks of a
// row that copies write.
//
// Fragments are those of mma_16x8x16. A warp holds S = A Bᵀ as float [kTiles][columns / 8][4]: of
// tile m and columns 8 n .., with g = lane / 4 and t = lane % 4, the numbers (16 m + g, 8 n + 2t),
// (.., 8 n + 2t + 1), (16 m + g + 8, 8 n + 2t), (.., 8 n + 2t + 1). Rounded to bf16 and paired, two
// neighbours n are the fragment a of a product with 16 rows of depth: S never leaves registers.
// source: Dao 2023 (FlashAttention-2), section 3; the PTX ISA manual, mma.m16n8k16
#pragma once

#include "sim/cuda/instructions.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

constexpr int kPanel = 64, kChunk = 8;

// Where a tile's row is, row and column being constants or multiples of 16 rows; what a lane adds
// is one number for all of them, but for an exclusive or with the chunk.
template <int kRows>
__device__ __forceinline__ int place_in_tile(int row, int column, int of_lane) {
  return (column / kPanel * kRows + row) * kPanel + (of_lane ^ (column % kPanel));
}
__device__ __forceinline__ int place_of_lane(unsigned row, unsigned chunk) {
  return static_cast<int>(row * kPanel + (chunk ^ row % kChunk) * kChunk);
}
__device__ __forceinline__ unsigned lane_of_thread() { return threadIdx.x % kWarp; }

// to[r, c] = from[r, c] for r < rows and c < columns, zeros elsewhere in [kRows, kColumns]:
// asynchronously. REQUIRES: rows that begin at multiples of 16 bytes, columns a multiple of 8.
template <int kRows, int kColumns, int kThreads>
__device__ __forceinline__ void load_tile(bf16* to, const bf16* from, int64_t stride, int rows,
                                          int columns) {
  constexpr int kChunks = kColumns / kChunk, kStep = kThreads / kChunks;  // rows at once
  static_assert(kThreads % kChunks == 0 && kRows % kStep == 0);
  const unsigned chunk = threadIdx.x % kChunks, first = threadIdx.x / kChunks;
  const int c = static_cast<int>(chunk) * kChunk;
  const int panel = c / kPanel * kRows * kPanel;
  to += panel;
  from += first * stride + c;
  const bool column = c < columns;
  const int left = rows - static_cast<int>(first), of_thread = place_of_lane(first, chunk % 8);
  TPLAB_UNROLL
  for (int i = 0; i < kRows / kStep; ++i) {
    const int place = i * kStep * kPanel + (of_thread ^ (i * kStep % 8 * kChunk));
    copy_async_16(to + place, from, column && i * kStep < left);
    from += kStep * stride;
  }
}

// Bits 15 and 31: of the two numbers in a word, those that are infinite or NaN.
__device__ __forceinline__ uint32_t unfinite(uint32_t pair) {
  return ((pair & 0x7f807f80u) + 0x00800080u) & 0x80008000u;
}
__device__ __forceinline__ bool has_unfinite(const Bytes16& x) {
  return (unfinite(x.word[0]) | unfinite(x.word[1]) | unfinite(x.word[2]) | unfinite(x.word[3])) !=
         0;
}
// Zeros in their place: what a tensor core multiplies with 0, because it is masked, is 0 then.
__device__ __forceinline__ void zero_unfinite(Bytes16& x) {
  for (uint32_t& word : x.word) {
    const uint32_t bits = unfinite(word);
    if (bits & 0x8000u) word &= 0xffff0000u;
    if (bits & 0x80000000u) word &= 0xffffu;
  }
}
// The same in those chunks of a tile that this thread has loaded; whether there were any.
template <int kRows, int kColumns, int kThreads>
__device__ __forceinline__ bool zero_unfinite_of_thread(bf16* tile) {
  constexpr int kChunks = kColumns / kChunk, kStep = kThreads / kChunks;
  const unsigned chunk = threadIdx.x % kChunks, first = threadIdx.x / kChunks;
  const int panel = static_cast<int>(chunk) * kChunk / kPanel * kRows * kPanel;
  const int of_thread = place_of_lane(first, chunk % 8);
  bool found = false;
  TPLAB_ROLLED
  for (int i = 0; i < kRows / kStep; ++i) {
    const int place = i * kStep * kPanel + (of_thread ^ (i * kStep % 8 * kChunk));
    bf16* const at = tile + panel + place;
    Bytes16 x = load_16(at);
    if (!has_unfinite(x)) continue;
    zero_unfinite(x);
    store_16(at, x);
    found = true;
  }
  return found;
}

// The fragment a of rows row .. row + 15 and columns column .. column + 15, both multiples of 16.
template <int kRows>
__device__ __forceinline__ void load_a(uint32_t (&a)[4], const bf16* tile, int row, int column) {
  const unsigned lane = lane_of_thread();
  load_matrices<4>(a,
                   tile + place_in_tile<kRows>(row, column, place_of_lane(lane % 16, lane / 16)));
}

// d[m] += a[m] Bᵀ for 16 columns of depth from `column`, B being 8 kCount rows of the tile
// from `row`.
template <int kRows, int kTiles, int kCount>
__device__ __forceinline__ void add_product_of_rows(float (&d)[kTiles][kCount][4],
                                                    const uint32_t (&a)[kTiles][4],
                                                    const bf16* tile, int row, int column) {
  const unsigned lane = lane_of_thread();
  const int of_lane = place_of_lane(lane % 8 + lane / 16 * 8, lane / 8 % 2);
  TPLAB_UNROLL
  for (int n = 0; n < kCount / 2; ++n) {
    uint32_t b[4];
    load_matrices<4>(b, tile + place_in_tile<kRows>(row + 16 * n, column, of_lane));
    const uint32_t first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
    TPLAB_UNROLL
    for (int m = 0; m < kTiles; ++m) {
      mma_16x8x16(d[m][2 * n], a[m], first);
      mma_16x8x16(d[m][2 * n + 1], a[m], second);
    }
  }
}

// d[m] += a[m] B for 16 rows of depth from `row`, B being 8 kCount columns of the tile from
// `column`.
template <int kRows, int kTiles, int kCount>
__device__ __forceinline__ void add_product_of_columns(float (&d)[kTiles][kCount][4],
                                                       const uint32_t (&a)[kTiles][4],
                                                       const bf16* tile, int row, int column) {
  const unsigned lane = lane_of_thread();
  const int of_lane = place_of_lane(lane % 16, lane / 16);
  TPLAB_UNROLL
  for (int n = 0; n < kCount / 2; ++n) {
    uint32_t b[4];
    load_matrices<4, true>(b, tile + place_in_tile<kRows>(row, column + 16 * n, of_lane));
    const uint32_t first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
    TPLAB_UNROLL
    for (int m = 0; m < kTiles; ++m) {
      mma_16x8x16(d[m][2 * n], a[m], first);
      mma_16x8x16(d[m][2 * n + 1], a[m], second);
    }
  }
}

// The fragments a of columns 16 step .. 16 step + 15 of what a warp holds.
template <int kTiles, int kCount>
__device__ __forceinline__ void to_a(uint32_t (&a)[kTiles][4], const float (&s)[kTiles][kCount][4],
                                     int step) {
  TPLAB_UNROLL
  for (int m = 0; m < kTiles; ++m) {
    const float(&left)[4] = s[m][2 * step], (&right)[4] = s[m][2 * step + 1];
    a[m][0] = pack_bf16(left[0], left[1]);
    a[m][1] = pack_bf16(left[2], left[3]);
    a[m][2] = pack_bf16(right[0], right[1]);
    a[m][3] = pack_bf16(right[2], right[3]);
  }
}

template <int kTiles, int kCount>
__device__ __forceinline__ void set_zero(float (&s)[kTiles][kCount][4]) {
  TPLAB_UNROLL
  for (int m = 0; m < kTiles; ++m) TPLAB_UNROLL
  for (int n = 0; n < kCount; ++n) TPLAB_UNROLL
  for (int e = 0; e < 4; ++e) s[m][n][e] = 0;
}

// Writes a row of tile m, g for half 0 and g + 8 for half 1, times `factor`: the lane's columns of
// those below `columns`, which are even. REQUIRES: a row that begins at a multiple of 4 bytes.
template <int kTiles, int kCount>
__device__ __forceinline__ void store_row(const float (&d)[kTiles][kCount][4], int m, int half,
                                          float factor, bf16* to, int columns) {
  const int t = static_cast<int>(lane_of_thread()) % 4;
  TPLAB_UNROLL
  for (int n = 0; n < kCount; ++n) {
    const int c = 8 * n + 2 * t;
    if (c < columns)
      *reinterpret_cast<uint32_t*>(to + c) =
          pack_bf16(d[m][n][2 * half] * factor, d[m][n][2 * half + 1] * factor);
  }
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
