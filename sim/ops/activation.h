// What acts on one number at a time.
#pragma once

#include <utility>

#include "sim/ops/operation.h"
#include "sim/tensor.h"

namespace tplab {

namespace op {

// y = a + b, b being of a's shape or one row of it ([a's last size]). y may be a or b.
struct Add {
  Array a, b, y;

  static constexpr std::string_view kName = "add";
  Arrays reads() const { return {&a, &b}; }
  Arrays writes() const { return {&y}; }
};

// erf: x/2 (1 + erf(x/√2)).  tanh: x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))). y may be x.
struct Gelu {
  tplab::Gelu kind;
  Array x, y;

  static constexpr std::string_view kName = "gelu";
  Arrays reads() const { return {&x}; }
  Arrays writes() const { return {&y}; }
};

// dx = dy gelu'(x), all of one shape. dx may be dy.
// erf: gelu' = Φ(x) + x φ(x).  tanh: with s = 1 / (1 + exp(-2u)), u = √(2/π) (x + 0.044715 x³),
// gelu' = s + 2 x s (1 - s) u'.
struct GeluBackward {
  tplab::Gelu kind;
  Array x, dy, dx;

  static constexpr std::string_view kName = "gelu_backward";
  Arrays reads() const { return {&x, &dy}; }
  Arrays writes() const { return {&dx}; }
};

// y = x, dropped or divided by 1 - rate. Its own backward, applied to dy. y may be x.   [B, T, C]
struct Dropout {
  Array x;
  DropoutMask mask;
  Array y;

  static constexpr std::string_view kName = "dropout";
  Arrays reads() const { return {&x}; }
  Arrays writes() const { return {&y}; }
};

}  // namespace op

namespace untyped {  // && is given up: where it is the only handle, the result is in its memory
Array add(Rank& rank, Array&& a, Array&& b);
Array gelu(Rank& rank, Gelu kind, Array&& x);
Array gelu_backward(Rank& rank, Gelu kind, const Array& x, Array&& dy);
Array dropout(Rank& rank, Array&& x, const DropoutMask& mask);
}  // namespace untyped

// a + b; b of a's shape, or one row of it, or absent.
template <class A, class B>
Tensor<typename AddRule<A, B>::type> add(Tensor<A> a, Tensor<B> b) {
  using Y = typename AddRule<A, B>::type;
  Rank& rank = a.rank();
  return assume_placement<Y>(rank, untyped::add(rank, std::move(a).take(), std::move(b).take()));
}

template <class P>
Tensor<typename GeluRule<P>::type> gelu(Gelu kind, Tensor<P> x) {
  Rank& rank = x.rank();
  return assume_placement<P>(rank, untyped::gelu(rank, kind, std::move(x).take()));
}

// dy, x: of one shape   ->   dx
template <class DY, class P>
Grad<P> gelu_backward(Gelu kind, Tensor<DY> dy, const Tensor<P>& x) {
  (void)GradientOf<DY, P>{};
  return assume_placement<Dual<P>>(
      x.rank(), untyped::gelu_backward(x.rank(), kind, x.array(), std::move(dy).take()));
}

// Zeros the numbers that the mask drops and scales the rest by 1 / (1 - rate). Its own backward.
template <class P>
Tensor<P> dropout(Tensor<P> x, const DropoutMask& mask) {
  static_assert(!same<P, Partial>, "dropout: drop from the sum, not from its terms.");
  Rank& rank = x.rank();
  return assume_placement<P>(rank, untyped::dropout(rank, std::move(x).take(), mask));
}

}  // namespace tplab
