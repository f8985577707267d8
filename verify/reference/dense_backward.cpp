// The dense layers' backward passes: plain loops, for double and Rough from the same text.
#include "verify/reference/dense_backward.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "verify/reference/dense_formulas.h"
#include "verify/reference/dense_product.h"
#include "verify/reference/rough.h"

namespace tplab::dense {
namespace {

template <class Real>
std::vector<Real> zeros(int64_t count) {
  return std::vector<Real>(static_cast<size_t>(count));
}

int64_t length(const auto& values) { return static_cast<int64_t>(values.size()); }

// sum[j] += dy[n, j], row by row.
template <class Real>
std::vector<Real> sum_of_rows(View<Real> dy, int64_t width) {
  std::vector<Real> sum = zeros<Real>(width);
  for (int64_t i = 0; i < length(dy); ++i) sum.data()[i % width] += dy.data()[i];
  return sum;
}

// sum += term, or sum = term of the first.
template <class Real>
void add_up(const std::vector<Real>& term, bool first, Real* sum) {
  for (size_t i = 0; i < term.size(); ++i) sum[i] = first ? term[i] : sum[i] + term[i];
}

}  // namespace

template <class Real>
LinearGradients<Real> linear_backward(const Linear<Real>& l, View<Real> dy) {
  const int64_t N = length(l.x) / l.in;
  LinearGradients<Real> d{
      .x = zeros<Real>(N * l.in), .weight = zeros<Real>(l.out * l.in), .bias = {}};
  multiply(dy.data(), l.weight.data(), d.x.data(), N, l.out, l.in,
           {.ranks = l.shares.of_out, .groups = l.shares.groups_out});
  d.x = stored(std::move(d.x));
  transposed_multiply(dy.data(), l.x.data(), d.weight.data(), l.out, N, l.in);
  if (!l.bias.empty()) d.bias = sum_of_rows(dy, l.out);
  return d;
}

template <class Real>
NormGradients<Real> norm_backward(const Norm<Real>& l, View<Real> dy) {
  const auto C = static_cast<Real>(l.C);
  NormGradients<Real> d{.x = zeros<Real>(length(l.x)), .weight = zeros<Real>(l.C), .bias = {}};
  std::vector<Real> z = zeros<Real>(l.C), g = zeros<Real>(l.C);
  for (int64_t row = 0; row < length(l.x); row += l.C) {
    const Real* x = l.x.data() + row;
    const auto [mean, rstd] = moments_of(l, x);
    Real mean_g = 0, mean_gz = 0;
    for (int64_t j = 0; j < l.C; ++j) {
      const Real weight = l.plus_one ? 1 + l.weight.data()[j] : l.weight.data()[j];
      z.data()[j] = (x[j] - mean) * rstd;
      g.data()[j] = dy.data()[row + j] * weight;
      if (!l.rms) mean_g += g.data()[j];
      mean_gz += g.data()[j] * z.data()[j];
      d.weight.data()[j] += dy.data()[row + j] * z.data()[j];
    }
    mean_g /= C;
    mean_gz /= C;
    for (int64_t j = 0; j < l.C; ++j)
      d.x.data()[row + j] = rstd * (g.data()[j] - mean_g - z.data()[j] * mean_gz);
  }
  if (!l.bias.empty()) d.bias = sum_of_rows(dy, l.C);
  d.x = stored(std::move(d.x));
  return d;
}

template <class Real>
std::vector<Real> activation_backward(View<Real> x, ActivationKind kind, View<Real> dy) {
  std::vector<Real> dx(dy.begin(), dy.end());
  for (size_t i = 0; i < dx.size(); ++i) dx[i] *= activated(x[i], kind).slope;
  return stored(std::move(dx));
}

template <class Real>
std::vector<Real> gated_backward(const Gated<Real>& g, View<Real> dy) {
  std::vector<Real> dx = zeros<Real>(length(g.x));
  for (int64_t i = 0; i < length(dy); ++i) {
    const int64_t gate = i / g.F * 2 * g.F + i % g.F;
    const auto through = let_through(g, g.x.data()[gate], g.x.data()[gate + g.F]);
    dx.data()[gate] = dy.data()[i] * through.by_gate;
    dx.data()[gate + g.F] = dy.data()[i] * through.by_up;
  }
  return stored(std::move(dx));
}

template <class Real>
std::vector<Real> soft_cap_backward(View<Real> y, double cap, View<Real> dy) {
  std::vector<Real> dx(dy.begin(), dy.end());
  for (size_t i = 0; i < dx.size(); ++i) {
    const Real t = y[i] / Real(cap);
    dx[i] *= 1 - t * t;
  }
  return dx;
}

template <class Real>
std::vector<Real> split_heads_backward(const SplitHeads<Real>& s, View<Real> dy) {
  std::vector<Real> d = zeros<Real>(s.B * s.T * s.width);
  for (int64_t b = 0; b < s.B; ++b)
    for (int64_t h = 0; h < s.H; ++h)
      for (int64_t t = 0; t < s.T; ++t)
        std::copy_n(dy.data() + ((b * s.H + h) * s.T + t) * s.D, s.D,
                    d.data() + (b * s.T + t) * s.width + s.first + h * s.D);
  return d;
}

template <class Real>
std::vector<Real> turn_backward(View<Real> dy, const Turn& t) {
  return stored(turned<Real>(dy, t, -1));
}

template <class Real>
ScoresGradients<Real> attention_scores_backward(const Scores<Real>& s, View<Real> y,
                                                View<Real> dscores) {
  const int64_t T = s.T, D = s.D;
  const Real scale = Real(s.scale) * Real(1);  // rounded, as a run's is
  ScoresGradients<Real> out{.q = zeros<Real>(length(s.q)), .k = zeros<Real>(length(s.k))};
  std::vector<Real> d = zeros<Real>(T * T), dk = zeros<Real>(T * D);  // of q k^T, of one head
  for (int64_t n = 0; n < s.B * s.H; ++n) {
    for (int64_t i = 0; i < T * T; ++i) {
      const int64_t at = n * T * T + i;
      d.data()[i] = s.sees(i / T, i % T) ? dscores.data()[at] * scale : Real(0);
      if (s.softcap == 0 || !s.sees(i / T, i % T)) continue;
      const Real t = y.data()[at] / Real(s.softcap);
      d.data()[i] *= 1 - t * t;
    }
    const int64_t query = n * T * D, key = key_head(s, n) * T * D;
    multiply(d.data(), s.k.data() + key, out.q.data() + query, T, T, D);
    transposed_multiply(d.data(), s.q.data() + query, dk.data(), T, T, D);
    add_up(dk, n % (s.H / s.K) == 0, out.k.data() + key);
  }
  return out;
}

template <class Real>
SoftmaxGradients<Real> softmax_backward(const Softmax<Real>& s, View<Real> dy, View<Real> sums) {
  SoftmaxGradients<Real> d{.x = softmax(s), .sinks = zeros<Real>(length(s.sinks))};
  for (int64_t row = 0; row < length(d.x); row += s.width) {
    Real* y = d.x.data() + row;
    Real sum = 0, share = 1;  // the sink's share is what the others leave
    for (int64_t j = 0; j < s.width; ++j) {
      sum += y[j] * dy.data()[row + j];
      share -= y[j];
    }
    if (!sums.empty()) sum = sums.data()[row / s.width];
    for (int64_t j = 0; j < s.width; ++j) y[j] *= dy.data()[row + j] - sum;
    if (!s.sinks.empty()) d.sinks[s.sink_of(row)] -= share * sum;
  }
  return d;
}

template <class Real>
MixHeadsGradients<Real> mix_heads_backward(const MixHeads<Real>& m, View<Real> dy) {
  const int64_t T = m.T, H = m.H, D = m.D;
  MixHeadsGradients<Real> d{.softmax = zeros<Real>(length(m.softmax)),
                            .v = zeros<Real>(length(m.v))};
  std::vector<Real> head = zeros<Real>(T * D), dv = zeros<Real>(T * D);  // of dy; of one head's v
  for (int64_t n = 0; n < m.B * H; ++n) {
    for (int64_t t = 0; t < T; ++t)
      std::copy_n(dy.data() + ((n / H * T + t) * H + n % H) * D, D, head.data() + t * D);
    const int64_t value = key_head(m, n) * T * D;
    multiply_transposed(head.data(), m.v.data() + value, d.softmax.data() + n * T * T, T, D, T);
    transposed_multiply(m.softmax.data() + n * T * T, head.data(), dv.data(), T, T, D);
    add_up(dv, n % (m.H / m.K) == 0, d.v.data() + value);
  }
  return d;
}

template <class Real>
std::vector<Real> cross_entropy_backward(const CrossEntropy<Real>& c) {
  std::vector<Real> d =
      stored(softmax<Real>({.x = c.logits, .width = c.V}));  // as its exponentials are
  const auto counted =
      static_cast<Real>(length(c.targets) - std::count(c.targets.begin(), c.targets.end(), -1));
  for (int64_t i = 0; i < length(c.targets); ++i) {
    Real* row = d.data() + i * c.V;
    const int target = c.targets.data()[i];
    if (target == -1) {
      std::fill_n(row, c.V, Real(0));
      continue;
    }
    row[target] -= 1;
    for (int64_t j = 0; j < c.V; ++j) row[j] /= counted;
  }
  return stored(std::move(d));
}

template <class Real>
std::vector<Real> embedding_backward(std::span<const int> ids, int64_t rows, int64_t C,
                                     View<Real> dy) {
  std::vector<Real> d = zeros<Real>(rows * C);
  for (int64_t i = 0; i < length(ids); ++i) {
    Real* row = d.data() + ids.data()[i] * C;
    for (int64_t j = 0; j < C; ++j) row[j] += dy.data()[i * C + j];
  }
  return d;
}

#define TPLAB_INSTANTIATE(Real)                                                                   \
  template LinearGradients<Real> linear_backward(const Linear<Real>&, View<Real>);                \
  template NormGradients<Real> norm_backward(const Norm<Real>&, View<Real>);                      \
  template std::vector<Real> activation_backward(View<Real>, ActivationKind, View<Real>);         \
  template std::vector<Real> gated_backward(const Gated<Real>&, View<Real>);                      \
  template std::vector<Real> soft_cap_backward(View<Real>, double, View<Real>);                   \
  template std::vector<Real> split_heads_backward(const SplitHeads<Real>&, View<Real>);           \
  template std::vector<Real> turn_backward(View<Real>, const Turn&);                              \
  template ScoresGradients<Real> attention_scores_backward(const Scores<Real>&, View<Real>,       \
                                                           View<Real>);                           \
  template SoftmaxGradients<Real> softmax_backward(const Softmax<Real>&, View<Real>, View<Real>); \
  template MixHeadsGradients<Real> mix_heads_backward(const MixHeads<Real>&, View<Real>);         \
  template std::vector<Real> cross_entropy_backward(const CrossEntropy<Real>&);                   \
  template std::vector<Real> embedding_backward(std::span<const int>, int64_t, int64_t, View<Real>);
TPLAB_FOR_EACH_REAL(TPLAB_INSTANTIATE)
#undef TPLAB_INSTANTIATE

}  // namespace tplab::dense
