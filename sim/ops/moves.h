// What only puts numbers in another order.
#pragma once

#include "sim/ops/operation.h"
#include "sim/tensor.h"

namespace tplab {

namespace op {

// y = the last position of each sequence.   x: [B, T, C]   ->   y: [B, 1, C]
struct LastPosition {
  Array x, y;

  static constexpr std::string_view kName = "last_position";
  Arrays reads() const { return {&x}; }
  Arrays writes() const { return {&y}; }
  Cost cost() const { return {0, 2 * bytes_of(writes())}; }
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
  Cost cost() const { return {0, 2 * bytes_of(writes())}; }
};

}  // namespace op

namespace untyped {
Array last_position(Rank& rank, const Array& x);
}  // namespace untyped

// The last position of each sequence.   x: [B, T, C]   ->   [B, 1, C]
template <class P>
Tensor<P> last_position(const Tensor<P>& x) {
  return assume_placement<P>(x.rank(), untyped::last_position(x.rank(), x.array()));
}

}  // namespace tplab
