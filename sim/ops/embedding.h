// Rows of a table by their ids. The ids are read before run() returns.
#pragma once

#include "sim/ops/operation.h"

namespace tplab::op {

// y[i] = table[ids[i] - first_row], or zeros where that row is not in the table (another rank's
// part of the vocabulary).   table: [rows, C]   ->   y: [.., C], ids.size() rows
struct Embedding {
  std::span<const int32_t> ids;
  Array table;
  int64_t first_row;
  Array y;

  static constexpr std::string_view kName = "embedding";
  Arrays reads() const { return {&table}; }
  Arrays writes() const { return {&y}; }
};

// dtable[ids[i] - first_row] += dy[i] where that row is in the table, in the order of i.
struct EmbeddingBackward {
  std::span<const int32_t> ids;
  Array dy;
  int64_t first_row;
  Array dtable;

  static constexpr std::string_view kName = "embedding_backward";
  Arrays reads() const { return {&dy}; }
  Arrays writes() const { return {&dtable}; }
};

}  // namespace tplab::op
