// The dense layers' forward passes: plain loops, for double and Rough from the same text.
#include "verify/reference/dense.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "verify/reference/dense_product.h"
#include "verify/reference/rough.h"

namespace tplab::dense {
namespace {

using std::erf, std::exp, std::log, std::sqrt, std::tanh;  // and Rough's

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
std::vector<Real> layer_norm(const LayerNorm<Real>& l) {
  std::vector<Real> out = zeros<Real>(length(l.x));
  for (int64_t row = 0; row < length(l.x); row += l.C) {
    const Real* x = l.x.data() + row;
    Real* y = out.data() + row;
    Real mean = 0, variance = 0;
    for (int64_t j = 0; j < l.C; ++j) mean += x[j];
    mean /= static_cast<Real>(l.C);
    for (int64_t j = 0; j < l.C; ++j) variance += (x[j] - mean) * (x[j] - mean);
    variance /= static_cast<Real>(l.C);
    const Real rstd = 1 / sqrt(variance + static_cast<Real>(l.eps));
    for (int64_t j = 0; j < l.C; ++j) {
      y[j] = (x[j] - mean) * rstd * l.weight.data()[j];
      if (!l.bias.empty()) y[j] += l.bias.data()[j];
    }
  }
  return stored(std::move(out));
}

template <class Real>
std::vector<Real> gelu(View<Real> x, Gelu kind) {
  const Real kHalf = 0.5, kCubic = 0.044715;
  const Real kSqrt2OverPi = std::sqrt(2 / std::numbers::pi), kSqrt2 = std::numbers::sqrt2;
  std::vector<Real> y(x.begin(), x.end());
  for (Real& v : y)
    v = kind == Gelu::erf ? kHalf * v * (1 + erf(v / kSqrt2))
                          : kHalf * v * (1 + tanh(kSqrt2OverPi * (v + kCubic * v * v * v)));
  return stored(std::move(y));
}

template <class Real>
std::vector<Real> split_heads(const SplitHeads<Real>& s) {
  const auto [qkv, B, T, H, D, part] = s;
  std::vector<Real> out = zeros<Real>(B * H * T * D);
  for (int64_t b = 0; b < B; ++b)
    for (int64_t h = 0; h < H; ++h)
      for (int64_t t = 0; t < T; ++t)
        std::copy_n(qkv.data() + (b * T + t) * 3 * H * D + part * H * D + h * D, D,
                    out.data() + ((b * H + h) * T + t) * D);
  return out;
}

template <class Real>
std::vector<Real> attention_scores(const Scores<Real>& s) {
  const auto [q, k, N, T, D] = s;
  const Real scale = 1 / sqrt(static_cast<Real>(D));
  std::vector<Real> out = zeros<Real>(N * T * T);
  for (int64_t n = 0; n < N; ++n) {
    Real* scores = out.data() + n * T * T;
    multiply_transposed(q.data() + n * T * D, k.data() + n * T * D, scores, T, D, T);
    for (int64_t t = 0; t < T; ++t)
      for (int64_t key = 0; key < T; ++key)
        scores[t * T + key] =
            key <= t ? scores[t * T + key] * scale : -std::numeric_limits<double>::infinity();
  }
  return out;
}

template <class Real>
std::vector<Real> softmax(View<Real> x, int64_t width) {
  std::vector<Real> out(x.begin(), x.end());
  for (int64_t row = 0; row < length(out); row += width) {
    Real* y = out.data() + row;
    const Real largest = *std::max_element(y, y + width);
    Real sum = 0;
    for (int64_t j = 0; j < width; ++j) sum += (y[j] = exp(y[j] - largest));
    for (int64_t j = 0; j < width; ++j) y[j] /= sum;
  }
  return out;
}

template <class Real>
std::vector<Real> mix_heads(const MixHeads<Real>& m) {
  const auto [softmax, v, B, H, T, D] = m;
  std::vector<Real> out = zeros<Real>(B * T * H * D), head = zeros<Real>(T * D);
  for (int64_t b = 0; b < B; ++b)
    for (int64_t h = 0; h < H; ++h) {
      const int64_t n = b * H + h;
      multiply(softmax.data() + n * T * T, v.data() + n * T * D, head.data(), T, T, D);
      for (int64_t t = 0; t < T; ++t)
        std::copy_n(head.data() + t * D, D, out.data() + ((b * T + t) * H + h) * D);
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

#define TPLAB_INSTANTIATE(Real)                                     \
  template std::vector<Real> linear(const Linear<Real>&);           \
  template std::vector<Real> layer_norm(const LayerNorm<Real>&);    \
  template std::vector<Real> gelu(View<Real>, Gelu);                \
  template std::vector<Real> split_heads(const SplitHeads<Real>&);  \
  template std::vector<Real> attention_scores(const Scores<Real>&); \
  template std::vector<Real> softmax(View<Real>, int64_t);          \
  template std::vector<Real> mix_heads(const MixHeads<Real>&);      \
  template Real cross_entropy(const CrossEntropy<Real>&);           \
  template std::vector<Real> embedding(const Embedding<Real>&);     \
  template std::vector<Real> add(View<Real>, View<Real>);
TPLAB_INSTANTIATE(double)
TPLAB_INSTANTIATE(Rough<DType::f32>)
TPLAB_INSTANTIATE(Rough<DType::f64>)
TPLAB_INSTANTIATE(Rough<DType::bf16>)
#undef TPLAB_INSTANTIATE

}  // namespace tplab::dense
