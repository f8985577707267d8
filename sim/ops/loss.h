// Cross-entropy, whole and in the parts between which ranks communicate.
#pragma once

#include "sim/ops/operation.h"

namespace tplab::op {

// Of x: [.., C] the first `cols` columns are real, 0 <= cols <= C, and the rest padding. `ids` has
// an entry for each row, and so have out, shift and sums; it stays where it is until the operation
// is done.

// out[r] = the largest of x[r], -inf where cols = 0, NaN if any is NaN.
struct RowMax {
  Array x;
  int64_t cols;
  Array out;

  static constexpr std::string_view kName = "row_max";
  Arrays reads() const { return {&x}; }
  Arrays writes() const { return {&out}; }
};

// out[r] = x[r, ids[r] - first] where 0 <= ids[r] - first < cols, else 0.
struct Pick {
  Array x;
  int64_t cols;
  std::span<const int32_t> ids;
  int64_t first;
  Array out;

  static constexpr std::string_view kName = "pick";
  Arrays reads() const { return {&x}; }
  Arrays writes() const { return {&out}; }
};

// In place x = exp(x - shift[r]), 0 past cols; sums[r] = their sum, added up in double.
struct ExpRows {
  Array x;
  int64_t cols;
  Array shift, sums;

  static constexpr std::string_view kName = "exp_rows";
  Arrays reads() const { return {&x, &shift}; }
  Arrays writes() const { return {&x, &sums}; }
};

// In place x = scale (x / sums[r] - [j = ids[r] - first]), 0 past cols and where ids[r] < 0.
struct SoftmaxMinusOnehot {
  Array x;
  int64_t cols;
  Array sums;
  std::span<const int32_t> ids;
  int64_t first;
  double scale;

  static constexpr std::string_view kName = "softmax_minus_onehot";
  Arrays reads() const { return {&x, &sums}; }
  Arrays writes() const { return {&x}; }
};

// out = the mean over rows with target >= 0 of log(sum exp(row)) - row[target]; the row's maximum
// is subtracted first.   logits: [.., V], targets.size() rows   ->   out: [1], f64
struct CrossEntropy {
  Array logits;
  std::span<const int32_t> targets;
  Array out;

  static constexpr std::string_view kName = "cross_entropy";
  Arrays reads() const { return {&logits}; }
  Arrays writes() const { return {&out}; }
};

}  // namespace tplab::op
