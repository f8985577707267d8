#include "sim/ops/activation.h"

#include "sim/ops/expect.h"
#include "sim/ops/list.h"

namespace tplab::untyped {

Array add(Rank& rank, Array&& a, Array&& b) {
  if (!b.present()) return std::move(a);
  expect(a.dtype() == b.dtype() && (a.shape() == b.shape() || vector_of(b, a, a.shape()[-1])), rank,
         "add", "equal shapes, or a row", {&a, &b});
  // Into whichever operand nobody else reads.
  Array y = !a.unique() && a.shape() == b.shape() ? like_or_same(rank, b) : like_or_same(rank, a);
  rank.device().run(op::Add{a, b, y});
  return y;
}

Array gelu(Rank& rank, Gelu kind, Array&& x) {
  Array y = like_or_same(rank, x);
  rank.device().run(op::Gelu{kind, x, y});
  return y;
}

Array gelu_backward(Rank& rank, Gelu kind, const Array& x, Array&& dy) {
  expect(dy.shape() == x.shape() && dy.dtype() == x.dtype(), rank, "gelu_backward", "dy like x",
         {&dy, &x});
  Array dx = like_or_same(rank, dy);
  rank.device().run(op::GeluBackward{kind, x, dy, dx});
  return dx;
}

Array dropout(Rank& rank, Array&& x, const DropoutMask& mask) {
  Array y = like_or_same(rank, x);
  rank.device().run(op::Dropout{x, mask, y});
  return y;
}

}  // namespace tplab::untyped
