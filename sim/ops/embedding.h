// Rows of a table by their ids.
#pragma once

#include "sim/ops/operation.h"
#include "sim/tensor.h"

namespace tplab {

namespace op {

// y[i] = table[ids[i] - first_row], or zeros where that row is not in the table (another rank's
// part of the vocabulary).   ids: [B, T], i32   table: [rows, C]   ->   y: [B, T, C]
struct Embedding {
  Array ids, table;
  int64_t first_row;
  Array y;

  static constexpr std::string_view kName = "embedding";
  Arrays reads() const { return {&ids, &table}; }
  Arrays writes() const { return {&y}; }
  Cost cost() const;  // of the table, a row for each id
};

// dtable[ids[i] - first_row] += dy[i] where that row is in the table, in the order of i.
//   ids: [B, T], i32   dy: [B, T, C]   ->   dtable: [rows, C]
struct EmbeddingBackward {
  Array ids, dy;
  int64_t first_row;
  Array dtable;

  static constexpr std::string_view kName = "embedding_backward";
  Arrays reads() const { return {&ids, &dy, &dtable}; }
  Arrays writes() const { return {&dtable}; }
  Cost cost() const;
};

}  // namespace op

namespace untyped {
Array embedding(Rank& rank, const Array& ids, const Array& table, int64_t first_row);
void embedding_backward(Rank& rank, const Array& ids, const Array& dy, const Array& dtable,
                        int64_t first_row);
}  // namespace untyped

// ids: [B, T]   table: [rows, C]   ->   [B, T, C]. A Varying table holds rows first_row .. of the
// vocabulary, so that the result is one term of a sum.
template <class P>
Tensor<typename EmbeddingRule<P>::type> embedding(const Tensor<Invariant>& ids,
                                                  const Tensor<P>& table, int64_t first_row = 0) {
  using Y = typename EmbeddingRule<P>::type;
  Rank& rank = table.rank();
  return assume_placement<Y>(rank, untyped::embedding(rank, ids.array(), table.array(), first_row));
}

// ids: [B, T]   dy: [B, T, C]   ->   dtable: [rows, C] is added to, in the rows this rank has
template <class P>
void embedding_backward(const Tensor<Invariant>& ids,
                        const Grad<typename EmbeddingRule<P>::type>& dy, const Tensor<P>& table,
                        const Grad<P>& dtable, int64_t first_row = 0) {
  untyped::embedding_backward(table.rank(), ids.array(), dy.array(), dtable.array(), first_row);
}

}  // namespace tplab
