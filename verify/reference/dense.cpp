// The dense layers' forward passes: plain loops, for double and Rough from the same text.
#include "verify/reference/dense.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "verify/reference/dense_formulas.h"
#include "verify/reference/dense_product.h"
#include "verify/reference/rough.h"

namespace tplab::dense {
namespace {

using std::exp, std::log, std::tanh;  // and Rough's

template <class Real>
std::vector<Real> zeros(int64_t count) {
  return std::vector<Real>(static_cast<size_t>(count));
}

int64_t length(const auto& values) { return static_cast<int64_t>(values.size()); }

}  // namespace

template <class Real>
std::vector<Real> linear(const Linear<Real>& l) {
  const int64_t N = length(l.x) / l.in;
  std::vector<Real> y = zeros<Real>(N * l.out);
  multiply_transposed(l.x.data(), l.weight.data(), y.data(), N, l.in, l.out,
                      {.ranks = l.shares.of_in});
  if (l.bias.empty()) return stored(std::move(y));
  for (int64_t i = 0; i < N; ++i)
    for (int64_t j = 0; j < l.out; ++j) y.data()[i * l.out + j] += l.bias.data()[j];
  return stored(std::move(y));
}

template <class Real>
std::vector<Real> norm(const Norm<Real>& l) {
  std::vector<Real> out = zeros<Real>(length(l.x));
  for (int64_t row = 0; row < length(l.x); row += l.C) {
    const Real* x = l.x.data() + row;
    Real* y = out.data() + row;
    const auto [mean, rstd] = moments_of(l, x);
    for (int64_t j = 0; j < l.C; ++j) {
      y[j] = (x[j] - mean) * rstd * (l.plus_one ? 1 + l.weight.data()[j] : l.weight.data()[j]);
      if (!l.bias.empty()) y[j] += l.bias.data()[j];
    }
  }
  return stored(std::move(out));
}

template <class Real>
std::vector<Real> activation(View<Real> x, ActivationKind kind) {
  std::vector<Real> y(x.begin(), x.end());
  for (Real& v : y) v = activated(v, kind).value;
  return stored(std::move(y));
}

template <class Real>
std::vector<Real> gated(const Gated<Real>& g) {
  std::vector<Real> y = zeros<Real>(length(g.x) / 2);
  for (int64_t i = 0; i < length(y); ++i) {
    const int64_t gate = i / g.F * 2 * g.F + i % g.F;
    y.data()[i] = let_through(g, g.x.data()[gate], g.x.data()[gate + g.F]).value;
  }
  return stored(std::move(y));
}

template <class Real>
std::vector<Real> soft_cap(View<Real> x, double cap) {
  std::vector<Real> y(x.begin(), x.end());
  for (Real& v : y) v = Real(cap) * tanh(v / Real(cap));
  return y;
}

template <class Real>
std::vector<Real> split_heads(const SplitHeads<Real>& s) {
  std::vector<Real> out = zeros<Real>(s.B * s.H * s.T * s.D);
  for (int64_t b = 0; b < s.B; ++b)
    for (int64_t h = 0; h < s.H; ++h)
      for (int64_t t = 0; t < s.T; ++t)
        std::copy_n(s.x.data() + (b * s.T + t) * s.width + s.first + h * s.D, s.D,
                    out.data() + ((b * s.H + h) * s.T + t) * s.D);
  return out;
}

template <class Real>
std::vector<Real> turn(View<Real> x, const Turn& t) {
  return stored(turned<Real>(x, t, 1));
}

template <class Real>
std::vector<Real> attention_scores(const Scores<Real>& s) {
  const int64_t T = s.T, D = s.D;
  const Real scale = Real(s.scale) * Real(1);  // rounded, as a run's is
  std::vector<Real> out = zeros<Real>(s.B * s.H * T * T);
  for (int64_t n = 0; n < s.B * s.H; ++n) {
    Real* scores = out.data() + n * T * T;
    multiply_transposed(s.q.data() + n * T * D, s.k.data() + key_head(s, n) * T * D, scores, T, D,
                        T);
    for (int64_t i = 0; i < T * T; ++i) {
      if (s.sees(i / T, i % T)) {
        scores[i] *= scale;
        if (s.softcap != 0) scores[i] = Real(s.softcap) * tanh(scores[i] / Real(s.softcap));
      } else {
        scores[i] = -std::numeric_limits<double>::infinity();
      }
    }
  }
  return out;
}

template <class Real>
std::vector<Real> softmax(const Softmax<Real>& s) {
  std::vector<Real> out(s.x.begin(), s.x.end());
  for (int64_t row = 0; row < length(out); row += s.width) {
    Real* y = out.data() + row;
    Real largest = *std::max_element(y, y + s.width), sum = 0;
    if (!s.sinks.empty()) {
      const Real sink = s.sinks[s.sink_of(row)];
      largest = std::max(largest, sink);
      sum = exp(sink - largest);
    }
    for (int64_t j = 0; j < s.width; ++j) sum += (y[j] = exp(y[j] - largest));
    for (int64_t j = 0; j < s.width; ++j) y[j] /= sum;
  }
  return out;
}

template <class Real>
std::vector<Real> mix_heads(const MixHeads<Real>& m) {
  const int64_t T = m.T, H = m.H, D = m.D;
  std::vector<Real> out = zeros<Real>(m.B * T * H * D), head = zeros<Real>(T * D);
  for (int64_t n = 0; n < m.B * H; ++n) {
    multiply(m.softmax.data() + n * T * T, m.v.data() + key_head(m, n) * T * D, head.data(), T, T,
             D);
    for (int64_t t = 0; t < T; ++t)
      std::copy_n(head.data() + t * D, D, out.data() + ((n / H * T + t) * H + n % H) * D);
  }
  return stored(std::move(out));
}

template <class Real>
Real cross_entropy(const CrossEntropy<Real>& c) {
  Real total = 0;
  int64_t counted = 0;
  for (int64_t i = 0; i < length(c.targets); ++i) {
    const int target = c.targets.data()[i];
    if (target == -1) continue;
    const Real* logits = c.logits.data() + i * c.V;
    const Real largest = *std::max_element(logits, logits + c.V);
    Real sum = 0;
    for (int64_t j = 0; j < c.V; ++j) sum += exp(logits[j] - largest);
    total += log(sum) - (logits[target] - largest);
    ++counted;
  }
  return total / static_cast<Real>(counted);
}

template <class Real>
std::vector<Real> embedding(const Embedding<Real>& e) {
  std::vector<Real> rows;
  for (const int id : e.ids)
    rows.insert(rows.end(), e.table.data() + id * e.C, e.table.data() + (id + 1) * e.C);
  return rows;
}

template <class Real>
std::vector<Real> add(View<Real> a, View<Real> b) {
  std::vector<Real> sum(a.begin(), a.end());
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += b[i];
  return sum;
}

#define TPLAB_INSTANTIATE(Real)                                      \
  template std::vector<Real> linear(const Linear<Real>&);            \
  template std::vector<Real> norm(const Norm<Real>&);                \
  template std::vector<Real> activation(View<Real>, ActivationKind); \
  template std::vector<Real> gated(const Gated<Real>&);              \
  template std::vector<Real> soft_cap(View<Real>, double);           \
  template std::vector<Real> split_heads(const SplitHeads<Real>&);   \
  template std::vector<Real> turn(View<Real>, const Turn&);          \
  template std::vector<Real> attention_scores(const Scores<Real>&);  \
  template std::vector<Real> softmax(const Softmax<Real>&);          \
  template std::vector<Real> mix_heads(const MixHeads<Real>&);       \
  template Real cross_entropy(const CrossEntropy<Real>&);            \
  template std::vector<Real> embedding(const Embedding<Real>&);      \
  template std::vector<Real> add(View<Real>, View<Real>);
TPLAB_FOR_EACH_REAL(TPLAB_INSTANTIATE)
#undef TPLAB_INSTANTIATE

}  // namespace tplab::dense
