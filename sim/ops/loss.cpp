#include "sim/ops/loss.h"

#include "sim/ops/expect.h"
#include "sim/ops/list.h"

namespace tplab {

namespace op {

Cost Pick::cost() const { return {0, bytes_of(Arrays{&ids, &out}) + bytes_of(Arrays{&out})}; }

}  // namespace op

namespace untyped {

namespace {

// x: [B, T, V]   ->   [B, T]
Array a_number_a_row(Rank& rank, const Array& x) {
  expect(x.shape().dims() == 3, rank, "cross_entropy", "logits [B, T, V]", {&x});
  return rank.device().allocate(accumulator(x.dtype()), Shape{x.shape()[0], x.shape()[1]});
}

void expect_targets(Rank& rank, const Array& x, const Array& ids) {
  expect(ids_of_rows(ids, x), rank, "cross_entropy", "a target for each row of logits", {&x, &ids});
}

}  // namespace

Array row_max(Rank& rank, const Array& x, int64_t cols) {
  Array out = a_number_a_row(rank, x);
  rank.device().run(op::RowMax{x, cols, out});
  return out;
}

Array pick(Rank& rank, const Array& x, int64_t cols, const Array& ids, int64_t first) {
  expect_targets(rank, x, ids);
  Array out = a_number_a_row(rank, x);
  rank.device().run(op::Pick{x, cols, ids, first, out});
  return out;
}

Array exp_rows(Rank& rank, const Array& x, int64_t cols, const Array& shift) {
  Array sums = a_number_a_row(rank, x);
  expect(shift.dtype() == sums.dtype() && shift.count() == sums.count(), rank, "exp_rows",
         "a shift for each row", {&x, &shift});
  rank.device().run(op::ExpRows{x, cols, shift, sums});
  return sums;
}

Array softmax_minus_onehot(Rank& rank, Array&& x, int64_t cols, const Array& sums, const Array& ids,
                           int64_t first, double scale) {
  expect_targets(rank, x, ids);
  expect(sums.dtype() == accumulator(x.dtype()) && sums.count() == x.shape().rows(), rank,
         "softmax_minus_onehot", "a sum for each row", {&x, &sums});
  rank.device().run(op::SoftmaxMinusOnehot{x, cols, sums, ids, first, scale});
  return std::move(x);
}

void add_losses(Rank& rank, const op::SumOfLosses& losses) {
  const int64_t rows = losses.ids.count();
  const auto fits = [&](const Array& x) {
    return x.count() == rows && x.dtype() == losses.sums.dtype();
  };
  expect(losses.ids.dtype() == DType::i32 && fits(losses.largest) && fits(losses.wanted) &&
             fits(losses.sums) && losses.out.count() == 1 && losses.out.dtype() == DType::f64,
         rank, "cross_entropy", "a number for each target, and one f64 for their sum",
         {&losses.ids, &losses.largest, &losses.wanted, &losses.sums, &losses.out});
  rank.device().run(losses);
}

Array cross_entropy(Rank& rank, const Array& logits, const Array& targets) {
  expect_targets(rank, logits, targets);
  Array out = rank.device().allocate(DType::f64, {1});
  rank.device().run(op::CrossEntropy{logits, targets, out});
  return out;
}

}  // namespace untyped

}  // namespace tplab
