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

Array activation(Rank& rank, ActivationKind kind, Array&& x) {
  Array y = like_or_same(rank, x);
  rank.device().run(op::Activation{kind, x, y});
  return y;
}

Array activation_backward(Rank& rank, ActivationKind kind, const Array& x, Array&& dy) {
  expect(dy.shape() == x.shape() && dy.dtype() == x.dtype(), rank, "activation_backward",
         "dy like x", {&dy, &x});
  Array dx = like_or_same(rank, dy);
  rank.device().run(op::ActivationBackward{kind, x, dy, dx});
  return dx;
}

Array gated(Rank& rank, const Gate& gate, const Array& x) {
  const int64_t width = x.shape()[-1];
  expect(width % 2 == 0, rank, "gated", "x [.., 2 F]", {&x});
  Array y = rank.device().allocate(x.dtype(), x.shape().with_last(width / 2));
  rank.device().run(op::Gated{gate, x, y});
  return y;
}

Array gated_backward(Rank& rank, const Gate& gate, const Array& x, const Array& dy) {
  expect(x.shape() == dy.shape().with_last(2 * dy.shape()[-1]) && dy.dtype() == x.dtype(), rank,
         "gated_backward", "dy [.., F] and x [.., 2 F]", {&dy, &x});
  Array dx = rank.device().allocate(x.dtype(), x.shape());
  rank.device().run(op::GatedBackward{gate, x, dy, dx});
  return dx;
}

Array soft_cap(Rank& rank, double cap, Array&& x) {
  Array y = like_or_same(rank, x);
  rank.device().run(op::SoftCap{cap, x, y});
  return y;
}

Array soft_cap_backward(Rank& rank, double cap, const Array& y, Array&& dy) {
  expect(dy.shape() == y.shape() && dy.dtype() == y.dtype(), rank, "soft_cap_backward", "dy like y",
         {&dy, &y});
  Array dx = like_or_same(rank, dy);
  rank.device().run(op::SoftCapBackward{cap, y, dy, dx});
  return dx;
}

Array dropout(Rank& rank, Array&& x, const DropoutMask& mask) {
  Array y = like_or_same(rank, x);
  rank.device().run(op::Dropout{x, mask, y});
  return y;
}

}  // namespace tplab::untyped
