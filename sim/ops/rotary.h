// Rotary positions.
#pragma once

#include <utility>

#include "sim/ops/operation.h"
#include "sim/ops/past.h"
#include "sim/tensor.h"

namespace tplab {

namespace op {

// Turns, in each of the first `heads` heads of a position, the pairs (i, i + R/2), i < R/2, of the
// first R features by the angles of that position, p = past.filled[b] + t:
//   y_i = x_i cos - x_{i+R/2} sin,   y_{i+R/2} = x_{i+R/2} cos + x_i sin
// with cos = table[p, i], sin = table[p, R/2 + i]; -sin in sin's place where it is the inverse. All
// other features are copied. y may be x: then they are not touched.
//   x, y: [B, T, W], heads of head_size one behind the other (queries, then keys, then values,
//   which nobody turns): heads head_size <= W
//   table: [S, R], accumulator's; R even, at most head_size      REQUIRES: past.at_most + T <= S
// Its gradient is the inverse, applied to dy, whatever the table holds: YaRN's cos and sin are
// multiplied by a factor.
// source: Su et al. 2021, in the order of GPT-NeoX and of Hugging Face's Llama
struct Rotary {
  Array x, table;
  int64_t heads, head_size;
  bool inverse;
  Past past;
  Array y;

  static constexpr std::string_view kName = "rotary";
  Arrays reads() const { return {&x, &table, &past.filled}; }
  Arrays writes() const { return {&y}; }
  Cost cost() const;  // of x what is turned or copied, of the table a row a position
};

}  // namespace op

namespace untyped {
Array rotary(Rank& rank, Array&& x, const Array& table, int64_t heads, int64_t head_size,
             bool inverse, const op::Past& past);
}  // namespace untyped

// The first `heads_local` heads of each position, turned.
//   x: [B, T, W]   table: [S, R], whose first R/2 columns are cosines and the others sines
template <class P>
Tensor<typename RotaryRule<P>::type> rotary(Tensor<P> x, const Tensor<Invariant>& table,
                                            int64_t heads_local, int64_t head_size,
                                            const Past& past = {}) {
  Rank& rank = x.rank();
  return assume_placement<P>(rank, untyped::rotary(rank, std::move(x).take(), table.array(),
                                                   heads_local, head_size, false, past.arrays()));
}
// dy: [B, T, W], of whole sequences   ->   dx
template <class DY>
Tensor<typename RotaryRule<DY>::type> rotary_backward(Tensor<DY> dy, const Tensor<Invariant>& table,
                                                      int64_t heads_local, int64_t head_size) {
  Rank& rank = dy.rank();
  return assume_placement<DY>(rank, untyped::rotary(rank, std::move(dy).take(), table.array(),
                                                    heads_local, head_size, true, {}));
}

}  // namespace tplab
