// Sums over rows, column by column: pieces of rows are summed up by one block each, into a scratch,
// and then the pieces, in an order that sizes alone decide.
#pragma once

#include <algorithm>

#include "sim/cuda/numbers.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

// Rows a piece: enough pieces for all of a GPU's multiprocessors, and no more than are quickly
// added up.
inline int64_t rows_of_piece(int64_t rows) {
  constexpr int64_t kMostPieces = 1024, kLeastRows = 4;
  return std::max(kLeastRows, (rows + kMostPieces - 1) / kMostPieces);
}
inline int64_t pieces_of(int64_t rows) {
  return (rows + rows_of_piece(rows) - 1) / rows_of_piece(rows);
}

constexpr int kPieceGroups = 16;

// to[c] += Σ over pieces p of from[p stride + c], c < count. A block of [kPieceGroups, kWarp]
// threads has kWarp columns; a group's pieces are kPieceGroups apart.
template <class Sum>
__global__ void add_pieces(const Sum* from, int64_t pieces, int64_t stride, Sum* to,
                           int64_t count) {
  TPLAB_SHARED(Sum, of_group, [kPieceGroups][kWarp]);
  const int64_t c = int64_t{blockIdx.x} * kWarp + threadIdx.x;
  Sum sum = 0;
  if (c < count)
    for (int64_t p = threadIdx.y; p < pieces; p += kPieceGroups) sum += from[p * stride + c];
  of_group[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || c >= count) return;
  for (int group = 1; group < kPieceGroups; ++group) sum += of_group[group][threadIdx.x];
  to[c] += sum;
}

template <class Sum>
void add_all_pieces(void* stream, const Sum* from, int64_t pieces, int64_t stride, Sum* to,
                    int64_t count) {
  launch(stream, {"add_pieces", blocks_for(count, kWarp), {kWarp, kPieceGroups}}, add_pieces<Sum>,
         from, pieces, stride, to, count);
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
