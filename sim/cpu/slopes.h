// Activations and their slopes on SIMD registers, by kind.
#pragma once

#include "sim/cpu/math.h"
#include "sim/ops/operation.h"

namespace tplab::cpu {

// Past 32 a slope is 0 or 1, and powers of x may be infinite. A NaN stays.
template <class Real>
Packet<Real> where_it_bends(const Packet<Real>& x) {
  return Eigen::internal::pmax(Eigen::internal::pmin(x, all(Real(32))), all(Real(-32)));
}

// Φ(x) + x φ(x), Φ being (1 + erf(x/√2)) / 2.
template <class Real>
Packet<Real> gelu_erf_slope(Real, const Packet<Real>& any) {
  using namespace Eigen::internal;
  const Packet<Real> x = where_it_bends<Real>(any);
  const Packet<Real> density =
      pmul(exp(pmul(pmul(x, x), all(Real(-0.5)))), all(Real(0.39894228040143267794)));
  return fma(x, density, normal_cdf(Real(), x));
}

// With s = 1 / (1 + exp(-2u)): s + 2 x s (1 - s) u'.
template <class Real>
Packet<Real> gelu_tanh_slope(Real, const Packet<Real>& any) {
  using namespace Eigen::internal;
  const Packet<Real> x = where_it_bends<Real>(any);
  const Real c = Real(2 * 0.79788456080286535588);  // 2 √(2/π)
  const Packet<Real> square = pmul(x, x);
  const Packet<Real> inner = fma(square, all(Real(-c * Real(0.044715))), all(-c));  // -2u / x
  const Packet<Real> s = pdiv(all(Real(1)), padd(exp(pmul(x, inner)), all(Real(1))));
  const Packet<Real> slope = fma(square, all(Real(c * Real(3 * 0.044715))), all(c));  // 2u'
  return fma(pmul(pmul(x, slope), s), psub(all(Real(1)), s), s);
}

// Of x σ(alpha x), with s = σ(alpha x): s + alpha x s (1 - s).
template <class Real>
Packet<Real> gate_slope(const Packet<Real>& x, Real alpha) {
  using namespace Eigen::internal;
  const Packet<Real> u = pmul(x, all(alpha)), s = sigmoid<Real>(u);
  // Where u is infinite s (1 - s) is 0; within these limits, too, and u times that is no NaN.
  return fma(pmul(pmax(pmin(u, all(Real(1e3))), all(Real(-1e3))), s), psub(all(Real(1)), s), s);
}

template <class Real>
Packet<Real> tanh_slope(const Packet<Real>& x) {
  const Packet<Real> y = tanh(Real(), x);
  return Eigen::internal::psub(all(Real(1)), Eigen::internal::pmul(y, y));
}

// 1 where x > 0, else 0.
template <class Real>
Packet<Real> relu_slope(const Packet<Real>& x) {
  using namespace Eigen::internal;
  return unless_nan(x, pselect(pcmp_lt(all(Real(0)), x), all(Real(1)), all(Real(0))));
}

// Calls what(f), f being the kind's function of a register.
template <class Real, class What>
void with_activation(ActivationKind kind, What what) {
  using P = Packet<Real>;
  switch (kind) {
    case ActivationKind::gelu:
      return what([](const P& x) { return gelu_erf(Real(), x); });
    case ActivationKind::gelu_tanh:
      return what([](const P& x) { return gelu_tanh(Real(), x); });
    case ActivationKind::silu:
      return what([](const P& x) { return gate<Real>(x, Real(1)); });
    case ActivationKind::quick_gelu:
      return what([](const P& x) { return gate<Real>(x, Real(1.702)); });
    case ActivationKind::relu:
      return what([](const P& x) { return unless_nan(x, Eigen::internal::pmax(x, all(Real(0)))); });
    case ActivationKind::tanh:
      return what([](const P& x) { return tanh(Real(), x); });
  }
}

// The same with its slope.
template <class Real, class What>
void with_slope(ActivationKind kind, What what) {
  using P = Packet<Real>;
  switch (kind) {
    case ActivationKind::gelu:
      return what([](const P& x) { return gelu_erf_slope(Real(), x); });
    case ActivationKind::gelu_tanh:
      return what([](const P& x) { return gelu_tanh_slope(Real(), x); });
    case ActivationKind::silu:
      return what([](const P& x) { return gate_slope<Real>(x, Real(1)); });
    case ActivationKind::quick_gelu:
      return what([](const P& x) { return gate_slope<Real>(x, Real(1.702)); });
    case ActivationKind::relu:
      return what([](const P& x) { return relu_slope<Real>(x); });
    case ActivationKind::tanh:
      return what([](const P& x) { return tanh_slope<Real>(x); });
  }
}

}  // namespace tplab::cpu
