#include "sim/ops/linear.h"

#include "sim/ops/expect.h"
#include "sim/ops/list.h"

namespace tplab {

namespace op {

// Of a [rows, cols] = [rows, depth] [depth, cols].
Cost Linear::cost() const {
  return {product_flops(x.shape().rows(), w.shape()[0], w.shape()[1]),
          bytes_of(reads()) + bytes_of(writes())};
}
Cost LinearBackwardInput::cost() const {
  return {product_flops(dy.shape().rows(), w.shape()[1], w.shape()[0]),
          bytes_of(reads()) + bytes_of(writes())};
}
Cost LinearBackwardWeight::cost() const {
  return {product_flops(dw.shape()[0], dw.shape()[1], dy.shape().rows()),
          bytes_of(reads()) + bytes_of(writes())};
}

}  // namespace op

namespace untyped {

Array linear(Rank& rank, const Array& x, const Array& w, const Array& bias) {
  expect(x.dtype() == w.dtype() && w.shape().dims() == 2 && x.shape()[-1] == w.shape()[1], rank,
         "matmul", "x [.., K] and W [N, K] of one dtype", {&x, &w});
  const int64_t n = w.shape()[0];
  if (bias.present()) expect(vector_of(bias, x, n), rank, "linear", "a bias [N]", {&w, &bias});
  Array y = rank.device().allocate(x.dtype(), x.shape().with_last(n));
  rank.device().run(op::Linear{x, w, bias, y});
  return y;
}

Array linear_backward(Rank& rank, const Array& dy, const Array& x, const Array& w, const Array& dw,
                      const Array& db) {
  expect(dy.dtype() == w.dtype() && dy.dtype() == x.dtype() &&
             dy.shape() == x.shape().with_last(w.shape()[0]) && gradient_of(dw, w),
         rank, "matmul_backward",
         "dy [.., N], x [.., K] and W [N, K] of one dtype, and dW [N, K], its accumulator's",
         {&dy, &x, &w, &dw});
  if (db.present()) sum_rows(rank, dy, db);
  rank.device().run(op::LinearBackwardWeight{dy, x, dw});
  Array dx = rank.device().allocate(x.dtype(), x.shape());
  rank.device().run(op::LinearBackwardInput{dy, w, dx});
  return dx;
}

void sum_rows(Rank& rank, const Array& dy, const Array& db) {
  expect(sums_of(db, dy, dy.shape()[-1]), rank, "sum_rows",
         "dy [.., N] and db [N], its accumulator's", {&dy, &db});
  rank.device().run(op::SumRows{dy, db});
}

}  // namespace untyped

}  // namespace tplab
