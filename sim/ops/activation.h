// What acts on one number at a time.
#pragma once

#include <utility>

#include "sim/ops/operation.h"
#include "sim/tensor.h"

namespace tplab {

// What makes one number of a gate and a number that it lets through.
struct Gate {
  ActivationKind activation = ActivationKind::silu;
  double limit = 0;  // above 0: both are clamped, and the activation is g σ(alpha g)
  double alpha = 0;
};

namespace op {

// y = a + b, b being of a's shape or one row of it ([a's last size]). y may be a or b.
struct Add {
  Array a, b, y;

  static constexpr std::string_view kName = "add";
  Arrays reads() const { return {&a, &b}; }
  Arrays writes() const { return {&y}; }
};

// y = f(x), f being `kind`. y may be x.
//   gelu: x/2 (1 + erf(x/√2)).  gelu_tanh: x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))).
//   silu: x σ(x).  quick_gelu: x σ(1.702 x).  relu: max(x, 0).  tanh.   A NaN stays one.
struct Activation {
  ActivationKind kind;
  Array x, y;

  static constexpr std::string_view kName = "activation";
  Arrays reads() const { return {&x}; }
  Arrays writes() const { return {&y}; }
};

// dx = dy f'(x), all of one shape. dx may be dy.
//   gelu: f' = Φ(x) + x φ(x).   relu: 1 where x > 0, else 0.   tanh: 1 - tanh²(x)
//   the others, which are x s with s = σ(u): f' = s + x s (1 - s) u'; u = 2 √(2/π) (x + 0.044715
//   x³) of gelu_tanh, x of silu, 1.702 x of quick_gelu
struct ActivationBackward {
  ActivationKind kind;
  Array x, dy, dx;

  static constexpr std::string_view kName = "activation_backward";
  Arrays reads() const { return {&x, &dy}; }
  Arrays writes() const { return {&dx}; }
};

// y = f(g) u, of x's rows, which hold F gates g and then F numbers u. With a limit both are clamped
// (gpt-oss):   g' = min(g, limit), u' = clamp(u, -limit, limit):   y = g' σ(alpha g') (u' + 1)
//   x: [.., 2 F]   ->   y: [.., F]
// source: Shazeer 2020
struct Gated {
  Gate gate;
  Array x, y;

  static constexpr std::string_view kName = "gated";
  Arrays reads() const { return {&x}; }
  Arrays writes() const { return {&y}; }
};

// dg = dy u f'(g), du = dy f(g); of what a limit clamped (beyond it, not at it) the gradient is 0.
//   x: [.., 2 F]   dy: [.., F]   ->   dx: [.., 2 F], of the gates and then of u
struct GatedBackward {
  Gate gate;
  Array x, dy, dx;

  static constexpr std::string_view kName = "gated_backward";
  Arrays reads() const { return {&x, &dy}; }
  Arrays writes() const { return {&dx}; }
};

// y = cap tanh(x / cap), cap > 0. y may be x.   source: Gemma Team 2024 (Gemma 2), section 2
struct SoftCap {
  double cap;
  Array x, y;

  static constexpr std::string_view kName = "soft_cap";
  Arrays reads() const { return {&x}; }
  Arrays writes() const { return {&y}; }
};

// dx = dy (1 - (y / cap)²), all of one shape. dx may be dy.
struct SoftCapBackward {
  double cap;
  Array y, dy, dx;

  static constexpr std::string_view kName = "soft_cap_backward";
  Arrays reads() const { return {&y, &dy}; }
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
Array activation(Rank& rank, ActivationKind kind, Array&& x);
Array activation_backward(Rank& rank, ActivationKind kind, const Array& x, Array&& dy);
Array gated(Rank& rank, const Gate& gate, const Array& x);
Array gated_backward(Rank& rank, const Gate& gate, const Array& x, const Array& dy);
Array soft_cap(Rank& rank, double cap, Array&& x);
Array soft_cap_backward(Rank& rank, double cap, const Array& y, Array&& dy);
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
Tensor<typename NonlinearRule<P>::type> activation(ActivationKind kind, Tensor<P> x) {
  Rank& rank = x.rank();
  return assume_placement<P>(rank, untyped::activation(rank, kind, std::move(x).take()));
}

// dy, x: of one shape   ->   dx
template <class DY, class P>
Grad<P> activation_backward(ActivationKind kind, Tensor<DY> dy, const Tensor<P>& x) {
  (void)GradientOf<DY, P>{};
  return assume_placement<Dual<P>>(
      x.rank(), untyped::activation_backward(x.rank(), kind, x.array(), std::move(dy).take()));
}

// x: [.., 2 F], this rank's gates and behind them what they let through   ->   [.., F]
template <class P>
Tensor<typename NonlinearRule<P>::type> gated(const Gate& gate, const Tensor<P>& x) {
  return assume_placement<P>(x.rank(), untyped::gated(x.rank(), gate, x.array()));
}

// dy: [.., F]   x: [.., 2 F]   ->   dx: [.., 2 F]
template <class DY, class P>
Grad<P> gated_backward(const Gate& gate, const Tensor<DY>& dy, const Tensor<P>& x) {
  (void)GradientOf<DY, P>{};
  return assume_placement<Dual<P>>(x.rank(),
                                   untyped::gated_backward(x.rank(), gate, x.array(), dy.array()));
}

// cap tanh(x / cap).
template <class P>
Tensor<typename NonlinearRule<P>::type> soft_cap(double cap, Tensor<P> x) {
  Rank& rank = x.rank();
  return assume_placement<P>(rank, untyped::soft_cap(rank, cap, std::move(x).take()));
}

// dy; y, what soft_cap gave: of one shape   ->   dx
template <class DY, class P>
Grad<P> soft_cap_backward(double cap, Tensor<DY> dy, const Tensor<P>& y) {
  (void)GradientOf<DY, P>{};
  return assume_placement<Dual<P>>(
      y.rank(), untyped::soft_cap_backward(y.rank(), cap, y.array(), std::move(dy).take()));
}

// Zeros the numbers that the mask drops and scales the rest by 1 / (1 - rate). Its own backward.
template <class P>
Tensor<P> dropout(Tensor<P> x, const DropoutMask& mask) {
  static_assert(!same<P, Partial>, "dropout: drop from the sum, not from its terms.");
  Rank& rank = x.rank();
  return assume_placement<P>(rank, untyped::dropout(rank, std::move(x).take(), mask));
}

}  // namespace tplab
