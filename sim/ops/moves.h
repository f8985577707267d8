// What only puts numbers in another order.
#pragma once

#include "sim/ops/operation.h"

namespace tplab::op {

// y = the last position of each sequence.   x: [B, T, C]   ->   y: [B, 1, C]
struct LastPosition {
  Array x, y;

  static constexpr std::string_view kName = "last_position";
  Arrays reads() const { return {&x}; }
  Arrays writes() const { return {&y}; }
};

// Undoes the order in which an all-gather along the last dimension delivers its shards, dropping
// padding: y[i, s n + j] = shards[s, i, j] for s n + j < y's last size.
//   shards: [S, rows, n]   ->   y: [.., <= S n]
struct JoinShards {
  Array shards, y;

  static constexpr std::string_view kName = "join_shards";
  Arrays reads() const { return {&shards}; }
  Arrays writes() const { return {&y}; }
};

// The reverse, for shards first .. first + S - 1: shards[s, i, j] = x[i, (first + s) n + j].
//   x: [.., >= (first + S) n]   ->   shards: [S, rows, n]
struct CutShards {
  Array x;
  int64_t first;
  Array shards;

  static constexpr std::string_view kName = "cut_shards";
  Arrays reads() const { return {&x}; }
  Arrays writes() const { return {&shards}; }
};

}  // namespace tplab::op
