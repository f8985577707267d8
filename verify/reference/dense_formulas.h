// What a dense layer and its backward both compute: of a row, of a number, of a pair of features.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "verify/reference/dense.h"
#include "verify/reference/rough.h"

namespace tplab::dense {

using std::erf, std::exp, std::log, std::sqrt, std::tanh;  // and Rough's

// The mean of a row (of an RMS norm, which takes none away, 0), and 1 / sqrt(variance + eps).
template <class Real>
std::pair<Real, Real> moments_of(const Norm<Real>& l, const Real* x) {
  const auto C = static_cast<Real>(l.C);
  Real mean = 0, variance = 0;
  if (!l.rms) {
    for (int64_t j = 0; j < l.C; ++j) mean += x[j];
    mean /= C;
  }
  for (int64_t j = 0; j < l.C; ++j) variance += (x[j] - mean) * (x[j] - mean);
  variance /= C;
  return {mean, 1 / sqrt(variance + static_cast<Real>(l.eps))};
}

template <class Real>
struct WithSlope {
  Real value, slope;
};

template <class Real>
Real sigmoid(Real x) {
  return 1 / (1 + exp(-x));
}

// f(x) and f'(x).
template <class Real>
WithSlope<Real> activated(Real x, ActivationKind kind) {
  const Real kHalf = 0.5, kCubic = 0.044715;
  switch (kind) {
    case ActivationKind::gelu: {
      const Real kSqrt2 = std::numbers::sqrt2;
      const Real kPhi0 = std::numbers::inv_sqrtpi / std::numbers::sqrt2;
      const Real cumulated = kHalf * (1 + erf(x / kSqrt2));
      return {kHalf * x * (1 + erf(x / kSqrt2)), cumulated + x * (kPhi0 * exp(-kHalf * x * x))};
    }
    case ActivationKind::gelu_tanh: {
      const Real kSqrt2OverPi = std::sqrt(2 / std::numbers::pi);
      const Real t = tanh(kSqrt2OverPi * (x + kCubic * x * x * x));
      const Real ds = kSqrt2OverPi * (1 + 3 * kCubic * x * x);
      return {kHalf * x * (1 + t), kHalf * (1 + t) + kHalf * x * (1 - t * t) * ds};
    }
    case ActivationKind::silu: {
      const Real s = sigmoid(x);
      return {x * s, s + x * s * (1 - s)};
    }
    case ActivationKind::quick_gelu: {
      const Real k = 1.702, s = sigmoid(k * x);
      return {x * s, s + k * x * s * (1 - s)};
    }
    case ActivationKind::relu:
      return {std::max(x, Real(0)), x > Real(0) ? Real(1) : Real(0)};
    case ActivationKind::tanh: {
      const Real t = tanh(x);
      return {t, 1 - t * t};
    }
  }
  return {x, Real(1)};
}

// A gated number, and its derivatives by the gate and by the number; of what is clamped 0.
template <class Real>
struct LetThrough {
  Real value, by_gate, by_up;
};
template <class Real>
LetThrough<Real> let_through(const Gated<Real>& g, Real gate, Real up) {
  if (g.gating.kind != Gating::Kind::clamped) {
    const auto a = activated(gate, g.kind);
    return {a.value * up, a.slope * up, a.value};
  }
  const Real limit = g.gating.limit, alpha = g.gating.alpha;
  const Real x = std::min(gate, limit), u = std::clamp(up, -limit, limit);
  const Real s = sigmoid(alpha * x);
  LetThrough<Real> through{x * s * (u + 1), (s + alpha * x * s * (1 - s)) * (u + 1), x * s};
  if (gate > limit) through.by_gate = 0;
  if (up > limit || up < -limit) through.by_up = 0;
  return through;
}

// The key head that query head n of all sequences reads.
template <class Heads>
int64_t key_head(const Heads& a, int64_t n) {
  return n / a.H * a.K + n % a.H / (a.H / a.K);
}

// By how much the angle of pair i < R/2 grows a position: f_i = theta^(-2i/R), or less.
//   linear: f_i / factor (Chen et al. 2023)
//   llama3: wavelengths 2 pi / f_i longer than context / low_factor are divided, shorter ones than
//   context / high_factor kept, and between them mixed by context / wavelength (Llama 3.1)
//   yarn: with pair(n) = R ln(context / (2 pi n)) / (2 ln theta), which turns n times in the
//   context: kept up to pair(beta_fast), divided from pair(beta_slow) on, mixed between them (Peng
//   et al. 2023, section 3.2)
inline std::vector<double> frequencies(const Rope& rope) {
  const auto R = static_cast<double>(rope.rotated);
  const Rope::Scaling& s = rope.scaling;
  const auto context = static_cast<double>(s.original_context);
  std::vector<double> f;
  for (int64_t i = 0; i < rope.rotated / 2; ++i) {
    const double plain = std::pow(rope.theta, -2.0 * static_cast<double>(i) / R);
    const double divided = plain / s.factor;
    if (s.kind == Rope::Kind::plain) {
      f.push_back(plain);
    } else if (s.kind == Rope::Kind::linear) {
      f.push_back(divided);
    } else if (s.kind == Rope::Kind::llama3) {
      const double wavelength = 2 * std::numbers::pi / plain;
      const double smooth = (context / wavelength - s.low_factor) / (s.high_factor - s.low_factor);
      if (wavelength > context / s.low_factor)
        f.push_back(divided);
      else if (wavelength < context / s.high_factor)
        f.push_back(plain);
      else
        f.push_back((1 - smooth) * divided + smooth * plain);
    } else {
      const auto pair = [&](double turns) {
        return R * std::log(context / (turns * 2 * std::numbers::pi)) / (2 * std::log(rope.theta));
      };
      double low = pair(s.beta_fast), high = pair(s.beta_slow);
      if (s.truncate) low = std::floor(low), high = std::ceil(high);
      low = std::max(low, 0.0), high = std::min(high, R - 1);
      const double width = low == high ? 0.001 : high - low;
      const double ramp = std::clamp((static_cast<double>(i) - low) / width, 0.0, 1.0);
      f.push_back(divided * ramp + plain * (1 - ramp));
    }
  }
  return f;
}

// direction: 1, or -1, which turns back. YaRN makes what is turned longer, so that scores grow by
// (0.1 ln(factor) + 1)^2.
template <class Real>
std::vector<Real> turned(View<Real> x, const Turn& t, int direction) {
  const std::vector<double> f = frequencies(t.rope);
  const bool yarn = t.rope.scaling.kind == Rope::Kind::yarn && t.rope.scaling.factor > 1;
  const double longer = yarn ? 0.1 * std::log(t.rope.scaling.factor) + 1 : 1;
  std::vector<Real> y(x.begin(), x.end());
  const auto half = static_cast<int64_t>(f.size());
  for (int64_t row = 0; row * t.D < static_cast<int64_t>(x.size()); ++row) {
    Real* v = y.data() + row * t.D;
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(row % t.T) * f[static_cast<size_t>(i)];
      const Real c = Real(longer * std::cos(angle)) * Real(1);  // rounded, as a run's table is
      const Real s = Real(direction * longer * std::sin(angle)) * Real(1);
      const Real a = v[i], b = v[i + half];
      v[i] = a * c - b * s;
      v[i + half] = b * c + a * s;
    }
  }
  return y;
}

}  // namespace tplab::dense
