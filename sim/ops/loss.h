// Cross-entropy, whole and in the parts between which ranks communicate; model/layers/loss.h puts
// these together.
#pragma once

#include <utility>

#include "sim/ops/operation.h"
#include "sim/tensor.h"

namespace tplab {

namespace op {

// Of x: [.., C] the first `cols` columns are real, 0 <= cols <= C, and the rest padding. `ids` has
// an entry for each row, and so have out, shift and sums, which are accumulators.

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
  Array ids;
  int64_t first;
  Array out;

  static constexpr std::string_view kName = "pick";
  Arrays reads() const { return {&x, &ids}; }
  Arrays writes() const { return {&out}; }
  Cost cost() const;  // a number a row
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
  Array sums, ids;
  int64_t first;
  double scale;

  static constexpr std::string_view kName = "softmax_minus_onehot";
  Arrays reads() const { return {&x, &sums, &ids}; }
  Arrays writes() const { return {&x}; }
};

// out += weight Σ over rows with ids[r] >= 0 of log sums[r] + (largest[r] - wanted[r]), added up in
// double, in the order of the rows.   ->   out: [1], f64
struct SumOfLosses {
  Array largest, wanted, sums, ids;
  double weight;
  Array out;

  static constexpr std::string_view kName = "sum_of_losses";
  Arrays reads() const { return {&largest, &wanted, &sums, &ids, &out}; }
  Arrays writes() const { return {&out}; }
};

// out = the mean over rows with ids[r] >= 0 of log(sum exp(row)) - row[ids[r]]; the row's maximum
// is subtracted first.   logits: [.., V]   ids: one for each row   ->   out: [1], f64
struct CrossEntropy {
  Array logits, ids, out;

  static constexpr std::string_view kName = "cross_entropy";
  Arrays reads() const { return {&logits, &ids}; }
  Arrays writes() const { return {&out}; }
};

}  // namespace op

namespace untyped {
Array row_max(Rank& rank, const Array& x, int64_t cols);
Array pick(Rank& rank, const Array& x, int64_t cols, const Array& ids, int64_t first);
Array exp_rows(Rank& rank, const Array& x, int64_t cols, const Array& shift);
Array softmax_minus_onehot(Rank& rank, Array&& x, int64_t cols, const Array& sums, const Array& ids,
                           int64_t first, double scale);
void add_losses(Rank& rank, const op::SumOfLosses& losses);
Array cross_entropy(Rank& rank, const Array& logits, const Array& targets);
}  // namespace untyped

// What a loss over a sharded vocabulary is made of. x: [B, T, V/tp] of which the first `cols`
// columns are real, the rest padding.
//   row_max: the largest of this rank's columns         ->   [B, T]
//   pick: x[r, ids[r] - first], 0 where another rank has it; the sum over ranks is the value
//   exp_rows: overwrites x with exp(x - shift), and returns this rank's term of each row's sum
inline Tensor<Varying> row_max(const Tensor<Varying>& x, int64_t cols) {
  return assume_placement<Varying>(x.rank(), untyped::row_max(x.rank(), x.array(), cols));
}
inline Tensor<Partial> pick(const Tensor<Varying>& x, int64_t cols, const Tensor<Invariant>& ids,
                            int64_t first) {
  return assume_placement<Partial>(x.rank(),
                                   untyped::pick(x.rank(), x.array(), cols, ids.array(), first));
}
inline Tensor<Partial> exp_rows(const Tensor<Varying>& x, int64_t cols,
                                const Tensor<Invariant>& shift) {
  return assume_placement<Partial>(x.rank(),
                                   untyped::exp_rows(x.rank(), x.array(), cols, shift.array()));
}

// The loss of positions whose parts the ranks have put together, added to a total.
//   largest, wanted, sums, ids: [B, T]   total: [1], f64
inline void add_losses(const Tensor<Invariant>& total, const Tensor<Invariant>& largest,
                       const Tensor<Invariant>& wanted, const Tensor<Invariant>& sums,
                       const Tensor<Invariant>& ids, double weight) {
  untyped::add_losses(total.rank(), {largest.array(), wanted.array(), sums.array(), ids.array(),
                                     weight, total.array()});
}

// The gradient of that loss in x's memory, x being what exp_rows left.
//   x: [B, T, V/tp]   sums, ids: [B, T]   ->   [B, T, V/tp]
inline Grad<Varying> softmax_minus_onehot(Tensor<Varying> x, int64_t cols,
                                          const Tensor<Invariant>& sums,
                                          const Tensor<Invariant>& ids, int64_t first,
                                          double scale) {
  Rank& rank = x.rank();
  return assume_placement<Varying>(
      rank, untyped::softmax_minus_onehot(rank, std::move(x).take(), cols, sums.array(),
                                          ids.array(), first, scale));
}

// Mean over positions of -log softmax(logits)[target]; targets below 0 are ignored.
//   logits: [B, T, V]   targets: [B, T]   ->   [1], f64
template <class P>
Tensor<Invariant> cross_entropy(const Tensor<P>& logits, const Tensor<Invariant>& targets) {
  (void)CrossEntropyRule<P>{};
  Rank& rank = logits.rank();
  return assume_placement<Invariant>(rank,
                                     untyped::cross_entropy(rank, logits.array(), targets.array()));
}

}  // namespace tplab
