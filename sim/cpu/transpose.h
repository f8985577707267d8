// A transposition in registers.
#pragma once

#include "sim/cpu/math.h"

namespace tplab::cpu {

// to[i to_row + j] = from[j from_row + i] for i < rows and j < cols.
template <class Real>
void transpose(const Real* from, int64_t from_row, int64_t rows, int64_t cols, Real* to,
               int64_t to_row) {
  constexpr int64_t kW = kWidth<Real>;
  const int64_t whole_rows = rows / kW * kW, whole_cols = cols / kW * kW;
  for (int64_t j = 0; j < whole_cols; j += kW) {
    for (int64_t i = 0; i < whole_rows; i += kW) {
      Eigen::internal::PacketBlock<Packet<Real>, static_cast<int>(kW)> block;
      for (int64_t l = 0; l < kW; ++l) block.packet[l] = load(from + (j + l) * from_row + i);
      Eigen::internal::ptranspose(block);
      for (int64_t l = 0; l < kW; ++l) store(to + (i + l) * to_row + j, block.packet[l]);
    }
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = i < whole_rows ? whole_cols : 0; j < cols; ++j) {
      to[i * to_row + j] = from[j * from_row + i];
    }
  }
}

}  // namespace tplab::cpu
