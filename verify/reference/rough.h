// Numbers whose every operation is rounded at random: a network computed with them is a draw of
// what rounding may do to it.
//
// This is Monte Carlo arithmetic (Parker 1997): the result r of an operation becomes r (1 + u ξ),
// ξ uniform in [-1, 1], so that the errors of a computation are sampled, with all that the network
// makes of them: cancellation, saturation, amplification. A rounding to nearest is off by at most
// u, and by less than u/√3, ξ's deviation, in the mean (Higham 2002, section 2.1). ξ is a hash of
// r's bits, or a function's argument's: the same operation is rounded the same way twice, as by a
// computer, so that equal rows err together; what sets draws apart are weights moved by a 256th of
// a rounding (see draws.h). A saturated function's argument tells draws apart where its result, 1
// less a few roundings, does not.
//
// bf16 is stored and not computed with: operations are rounded as f32's, and what a run stores, as
// stored() says, once more by bf16's roundoff.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "sim/dtype.h"

namespace tplab {

// Uniform in [-1, 1), a function of x's bits.
inline double noise_of(double x) {
  auto h = std::bit_cast<uint64_t>(x) * 0x9E3779B97F4A7C15u;
  h = (h ^ (h >> 32)) * 0xD6E8FEB86659FD93u;
  h = (h ^ (h >> 32)) * 0xD6E8FEB86659FD93u;
  return static_cast<double>(static_cast<int64_t>(h)) * 0x1p-63;
}

// For f64 it is 2^13 times f64's roundoff, since doubles hold it and have nothing between them that
// would tell one draw from another. Errors that small grow as f64's own do, so a bound for f64 is
// what is drawn over 2^13.
template <DType dtype>
class Rough {
 public:
  static constexpr DType kDType = dtype;
  static constexpr double kRoundoff = dtype == DType::f64 ? 0x1p-40 : 0x1p-24;
  // Half the distance between the smallest numbers; of f64's nothing comes near it.
  static constexpr double kTiny = dtype == DType::f64 ? 0 : 0x1p-150;
  // Of what is stored with fewer digits than it is computed with.
  static constexpr bool kIsStoredRounded = dtype == DType::bf16;
  static constexpr double kStoredRoundoff = 0x1p-8, kStoredTiny = 0x1p-134;
  // What a library's exp, erf or tanh may be off, in roundoffs (sim/cpu/math.h: 5 units at most).
  static constexpr double kFunction = 4;

  Rough() = default;
  Rough(double exact) : value_(exact) {}  // NOLINT(google-explicit-constructor): as literals are
  template <std::integral Integer>
  Rough(Integer exact)
      : value_(static_cast<double>(exact)) {}  // NOLINT(google-explicit-constructor)
  explicit operator double() const { return value_; }

  // Rounded with u. Zero and what is not finite stay.
  static Rough rounded(double r) { return rounded(r, 1, r); }
  static Rough function(double r, Rough argument) { return rounded(r, kFunction, argument.value_); }

  // Of a parameter, as a run stores it, moved by a 256th of a rounding: by what is not stored,
  // which sets draws apart.
  static Rough loaded(double exact) {
    if constexpr (!kIsStoredRounded) return exact;
    const auto value = static_cast<double>(static_cast<float>(bf16(exact)));
    return value + 0x1p-8 * kStoredRoundoff * value * noise_of(exact);
  }
  Rough stored() const {
    if constexpr (!kIsStoredRounded) return *this;
    return off(value_, kStoredRoundoff, kStoredTiny, value_);
  }

  friend Rough operator+(Rough a, Rough b) { return rounded(a.value_ + b.value_); }
  friend Rough operator-(Rough a, Rough b) { return rounded(a.value_ - b.value_); }
  friend Rough operator*(Rough a, Rough b) { return rounded(a.value_ * b.value_); }
  friend Rough operator/(Rough a, Rough b) { return rounded(a.value_ / b.value_); }
  friend Rough operator-(Rough a) { return -a.value_; }
  Rough& operator+=(Rough b) { return *this = *this + b; }
  Rough& operator-=(Rough b) { return *this = *this - b; }
  Rough& operator*=(Rough b) { return *this = *this * b; }
  Rough& operator/=(Rough b) { return *this = *this / b; }
  friend bool operator<(Rough a, Rough b) { return a.value_ < b.value_; }
  friend bool operator>(Rough a, Rough b) { return a.value_ > b.value_; }
  friend bool operator==(Rough a, Rough b) { return a.value_ == b.value_; }
  friend Rough sqrt(Rough a) { return rounded(std::sqrt(a.value_)); }
  friend Rough exp(Rough a) { return function(std::exp(a.value_), a); }
  friend Rough log(Rough a) { return function(std::log(a.value_), a); }
  friend Rough erf(Rough a) { return function(std::erf(a.value_), a); }
  friend Rough tanh(Rough a) { return function(std::tanh(a.value_), a); }

 private:
  static Rough rounded(double r, double roundoffs, double noise_from) {
    return off(r, roundoffs * kRoundoff, kTiny, noise_from);
  }
  static Rough off(double r, double relative, double tiny, double noise_from) {
    if (r == 0 || !std::isfinite(r)) return r;
    const double size = std::abs(r);
    return r + noise_of(noise_from) * std::min(relative * size + tiny, size);
  }

  double value_ = 0;
};

// Whether Reals are rounded once more where they are stored: never doubles.
template <class Real>
inline constexpr bool kIsStoredRounded = [] {
  if constexpr (std::is_same_v<Real, double>)
    return false;
  else
    return Real::kIsStoredRounded;
}();

// An array that a run stores.
template <class Real>
std::vector<Real> stored(std::vector<Real> x) {
  if constexpr (kIsStoredRounded<Real>)
    for (Real& v : x) v = v.stored();
  return x;
}

// What the reference is compiled for: INSTANTIATE(Real) for every kind of number.
#define TPLAB_FOR_EACH_REAL(INSTANTIATE) \
  INSTANTIATE(double)                    \
  INSTANTIATE(Rough<DType::f32>)         \
  INSTANTIATE(Rough<DType::f64>)         \
  INSTANTIATE(Rough<DType::bf16>)

// In memory a Rough is its double.
template <class Real>
auto as_doubles(Real* numbers) {
  using Double = std::conditional_t<std::is_const_v<Real>, const double, double>;
  static_assert(sizeof(Real) == sizeof(double) && std::is_standard_layout_v<Real>);
  return reinterpret_cast<Double*>(numbers);
}
template <class Real>
std::span<const double> as_doubles(const std::vector<Real>& numbers) {
  return {as_doubles(numbers.data()), numbers.size()};
}

// c, the sum of n products added up in any order, rounded. terms2: the sum of their squares. Over
// all orders the partial sums' squares add up to (n + 1) (2 c² + terms2) / 6 in the mean, which
// drawing without replacement gives exactly, and each rounding's variance is at most u²/3 of its
// partial sum's square; the products' own are terms2 u²/3.
template <class Number>
Number rounded_sum(double c, double terms2, int64_t n) {
  if (!(terms2 > 0) || !std::isfinite(c)) return Number::rounded(c);
  const double orders = static_cast<double>(n + 1) / 6;
  const double size = std::sqrt(orders * (2 * c * c + terms2) + terms2);
  return c + noise_of(c) * (Number::kRoundoff * size + static_cast<double>(n) * Number::kTiny);
}

}  // namespace tplab
