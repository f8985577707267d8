// SIMD registers of the CPU kernels, and the functions of a transformer on them: exp, erf, tanh,
// gelu.
//
// A register is one of Eigen's packets: as wide as the target's SIMD allows, one number where there
// is none. All is inline, without -ffast-math: NaN comes out wherever NaN goes in.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wignored-attributes"   // a packet is an attributed type
#pragma GCC diagnostic ignored "-Wuninitialized"        // g++ 12 about its own AVX-512 headers
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // the same
#endif

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace tplab::cpu {

template <class Real>
using Packet = typename Eigen::internal::packet_traits<Real>::type;
template <class Real>
inline constexpr int64_t kWidth = Eigen::internal::packet_traits<Real>::size;

template <class Real>
Packet<Real> load(const Real* from) {
  return Eigen::internal::ploadu<Packet<Real>>(from);
}
template <class Real>
void store(Real* to, const Packet<Real>& x) {
  Eigen::internal::pstoreu(to, x);
}
template <class Real>
Packet<Real> all(Real x) {
  return Eigen::internal::pset1<Packet<Real>>(x);
}
// a b + c, with one rounding where the target has FMA.
template <class P>
P fma(const P& a, const P& b, const P& c) {
  return Eigen::internal::pmadd(a, b, c);
}
// yes where x is not NaN, else x.
template <class P>
P unless_nan(const P& x, const P& yes) {
  return Eigen::internal::pselect(Eigen::internal::pcmp_eq(x, x), yes, x);
}

// Within 5 units in the last place. Eigen's clamps its argument, which turns NaN into a number.
template <class P>
P exp(const P& x) {
  return unless_nan(x, Eigen::internal::pexp(x));
}

// c[0] + c[1] x + c[2] x^2 + ...
template <class P, int N>
P polynomial(const P& x, const float (&c)[N]) {
  P sum = Eigen::internal::pset1<P>(c[N - 1]);
  for (int i = N - 2; i >= 0; --i) sum = fma(sum, x, Eigen::internal::pset1<P>(c[i]));
  return sum;
}

// erf(x) for floats, within 1.5 units in the last place (tests/sim/cpu_math_test.cpp measures it).
// Both polynomials are minimax fits of degree 6, made with Remez' exchange algorithm in double:
//   |x| <= 1:      x + x P(x^2), P the fit of erf(x)/x - 1: relative error of erf 1.3e-9
//   1 < |x| <= 4:  1 - exp(-Q(|x|)), Q the fit of -log(erfc(x)) weighted with erfc: error 1.1e-9
//   |x| > 4:       1 - erf < 2^-25, so the float is 1
template <class P>
P erf_float(const P& x) {
  using namespace Eigen::internal;
  static constexpr float kSmall[] = {0.1283791657f,   -0.3761262582f,  0.1128358515f,
                                     -0.02685381193f, 0.005188327683f, -0.0008010193591f,
                                     7.853861223e-05f};
  static constexpr float kLarge[] = {0.0003415233927f, 1.127089189f,    0.6381448355f,
                                     0.1031067522f,    -0.02183806277f, 0.002947657972f,
                                     -0.0001863791553f};
  const P size = pabs(x);
  const P small = fma(x, polynomial(pmul(x, x), kSmall), x);
  const P tail = pexp(pnegate(polynomial(pmin(size, pset1<P>(4.0f)), kLarge)));
  const P large = psub(pset1<P>(1.0f), tail);
  const P with_sign = pselect(pcmp_lt(x, pset1<P>(0.0f)), pnegate(large), large);
  return unless_nan(x, pselect(pcmp_lt(size, pset1<P>(1.0f)), small, with_sign));
}

// Φ(x) = (1 + erf(x/√2)) / 2. In double by the C library's erf, number by number.
inline Packet<float> normal_cdf(float, const Packet<float>& x) {
  using namespace Eigen::internal;
  const Packet<float> erf = erf_float(pmul(x, all(0.70710678118f)));
  return pmul(padd(erf, all(1.0f)), all(0.5f));
}
inline Packet<double> normal_cdf(double, const Packet<double>& x) {
  double each[kWidth<double>];
  store(each, x);
  for (double& v : each) v = 0.5 * (1.0 + std::erf(v * 0.70710678118654752440));
  return load(each);
}

// x/2 (1 + erf(x/√2)).
template <class Real>
Packet<Real> gelu_erf(Real, const Packet<Real>& x) {
  return Eigen::internal::pmul(x, normal_cdf(Real(), x));
}

// x/2 (1 + tanh(u)), u = √(2/π) (x + 0.044715 x³), is x / (1 + exp(-2u)): no cancellation.
template <class Real>
Packet<Real> gelu_tanh(Real, const Packet<Real>& x) {
  using namespace Eigen::internal;
  const Real c = Real(-2 * 0.79788456080286535588);  // -2 √(2/π)
  const Packet<Real> inner = fma(pmul(x, x), all(Real(c * Real(0.044715))), all(c));
  return pdiv(x, padd(exp(pmul(x, inner)), all(Real(1))));
}

// 1 / (1 + exp(-x)).
template <class Real>
Packet<Real> sigmoid(const Packet<Real>& x) {
  using namespace Eigen::internal;
  return pdiv(all(Real(1)), padd(exp(pnegate(x)), all(Real(1))));
}

// x σ(alpha x).
template <class Real>
Packet<Real> gate(const Packet<Real>& x, Real alpha) {
  using namespace Eigen::internal;
  return pdiv(x, padd(exp(pmul(x, all(-alpha))), all(Real(1))));
}

// Eigen's clamps its argument. In double by the C library's tanh, number by number.
inline Packet<float> tanh(float, const Packet<float>& x) {
  return unless_nan(x, Eigen::internal::ptanh(x));
}
inline Packet<double> tanh(double, const Packet<double>& x) {
  double each[kWidth<double>];
  store(each, x);
  for (double& v : each) v = std::tanh(v);
  return load(each);
}

// cap tanh(x / cap), and its slope from y = cap tanh(x / cap): 1 - (y / cap)².
template <class Real>
Packet<Real> soft_cap(const Packet<Real>& x, Real cap, Real one_over_cap) {
  using namespace Eigen::internal;
  return pmul(tanh(Real(), pmul(x, all(one_over_cap))), all(cap));
}
template <class Real>
Packet<Real> soft_cap_slope(const Packet<Real>& y, Real one_over_cap) {
  using namespace Eigen::internal;
  const Packet<Real> part = pmul(y, all(one_over_cap));
  return psub(all(Real(1)), pmul(part, part));
}

// Calls f on n numbers of x, a register at a time, and stores to y, which may be x. The last, short
// register is filled up with zeros, so a number's result does not depend on where it stands.
template <class Real, class F>
void map_packets(const Real* x, Real* y, int64_t n, F f) {
  int64_t i = 0;
  for (; i + kWidth<Real> <= n; i += kWidth<Real>) store(y + i, f(load(x + i)));
  if (i == n) return;
  Real rest[kWidth<Real>] = {};
  std::copy(x + i, x + n, rest);
  store(rest, f(load(rest)));
  std::copy(rest, rest + (n - i), y + i);
}

// Sum over i of exp((x[i] - shift) * scale); the terms go to `terms` unless it is null. Summed in
// double over runs of 16 registers, so that long rows (a vocabulary) lose nothing.
template <class Real>
double exp_sum(const Real* x, int64_t n, Real shift, Real scale, Real* terms) {
  using namespace Eigen::internal;
  constexpr int64_t kRun = 16 * kWidth<Real>;
  const Packet<Real> shifts = all(shift), scales = all(scale);
  double sum = 0;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    Real run[kRun];
    const int64_t count = std::min(kRun, n - begin);
    map_packets(x + begin, terms ? terms + begin : run, count,
                [&](const auto& v) { return exp(pmul(psub(v, shifts), scales)); });
    const Real* const done = terms ? terms + begin : run;
    Packet<Real> partial = all(Real(0));
    int64_t i = 0;
    for (; i + kWidth<Real> <= count; i += kWidth<Real>) partial = padd(partial, load(done + i));
    sum += static_cast<double>(predux(partial));
    for (; i < count; ++i) sum += static_cast<double>(done[i]);
  }
  return sum;
}

}  // namespace tplab::cpu
