// The dense layers' backward passes: plain loops, for double and Rough from the same text.
#include "verify/reference/dense_backward.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "verify/reference/dense_product.h"
#include "verify/reference/rough.h"

namespace tplab::dense {
namespace {

using std::erf, std::exp, std::sqrt, std::tanh;  // and Rough's

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
LayerNormGradients<Real> layer_norm_backward(const LayerNorm<Real>& l, View<Real> dy) {
  const auto C = static_cast<Real>(l.C);
  LayerNormGradients<Real> d{.x = zeros<Real>(length(l.x)), .weight = zeros<Real>(l.C), .bias = {}};
  std::vector<Real> z = zeros<Real>(l.C), g = zeros<Real>(l.C);
  for (int64_t row = 0; row < length(l.x); row += l.C) {
    const Real* x = l.x.data() + row;
    Real mean = 0, variance = 0;
    for (int64_t j = 0; j < l.C; ++j) mean += x[j];
    mean /= C;
    for (int64_t j = 0; j < l.C; ++j) variance += (x[j] - mean) * (x[j] - mean);
    variance /= C;
    const Real rstd = 1 / sqrt(variance + static_cast<Real>(l.eps));

    Real mean_g = 0, mean_gz = 0;
    for (int64_t j = 0; j < l.C; ++j) {
      z.data()[j] = (x[j] - mean) * rstd;
      g.data()[j] = dy.data()[row + j] * l.weight.data()[j];
      mean_g += g.data()[j];
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
std::vector<Real> gelu_backward(View<Real> x, Gelu kind, View<Real> dy) {
  const Real kHalf = 0.5, kCubic = 0.044715;
  const Real kSqrt2OverPi = std::sqrt(2 / std::numbers::pi), kSqrt2 = std::numbers::sqrt2;
  const Real kPhi0 = std::numbers::inv_sqrtpi / std::numbers::sqrt2;
  std::vector<Real> dx(dy.begin(), dy.end());
  for (size_t i = 0; i < dx.size(); ++i) {
    const Real v = x[i];
    if (kind == Gelu::erf) {
      const Real Phi = kHalf * (1 + erf(v / kSqrt2));
      const Real phi = kPhi0 * exp(-kHalf * v * v);
      dx[i] *= Phi + v * phi;
    } else {
      const Real t = tanh(kSqrt2OverPi * (v + kCubic * v * v * v));
      const Real ds = kSqrt2OverPi * (1 + 3 * kCubic * v * v);
      dx[i] *= kHalf * (1 + t) + kHalf * v * (1 - t * t) * ds;
    }
  }
  return stored(std::move(dx));
}

template <class Real>
std::vector<Real> split_heads_backward(const SplitHeads<Real>& s, View<Real> dy) {
  const auto [qkv, B, T, H, D, part] = s;
  std::vector<Real> d = zeros<Real>(B * T * 3 * H * D);
  for (int64_t b = 0; b < B; ++b)
    for (int64_t h = 0; h < H; ++h)
      for (int64_t t = 0; t < T; ++t)
        std::copy_n(dy.data() + ((b * H + h) * T + t) * D, D,
                    d.data() + (b * T + t) * 3 * H * D + part * H * D + h * D);
  return d;
}

template <class Real>
ScoresGradients<Real> attention_scores_backward(const Scores<Real>& s, View<Real> dscores) {
  const auto [q, k, N, T, D] = s;
  const Real scale = 1 / sqrt(static_cast<Real>(D));
  ScoresGradients<Real> out{.q = zeros<Real>(N * T * D), .k = zeros<Real>(N * T * D)};
  std::vector<Real> d = zeros<Real>(T * T);  // of q k^T, of one head
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t t = 0; t < T; ++t)
      for (int64_t key = 0; key <= t; ++key)
        d.data()[t * T + key] = dscores.data()[(n * T + t) * T + key] * scale;
    const int64_t head = n * T * D;
    multiply(d.data(), k.data() + head, out.q.data() + head, T, T, D);
    transposed_multiply(d.data(), q.data() + head, out.k.data() + head, T, T, D);
  }
  return out;
}

template <class Real>
std::vector<Real> softmax_backward(View<Real> x, int64_t width, View<Real> dy, View<Real> sums) {
  std::vector<Real> d = softmax(x, width);
  for (int64_t row = 0; row < length(d); row += width) {
    Real* y = d.data() + row;
    Real sum = 0;
    for (int64_t j = 0; j < width; ++j) sum += y[j] * dy.data()[row + j];
    if (!sums.empty()) sum = sums.data()[row / width];
    for (int64_t j = 0; j < width; ++j) y[j] *= dy.data()[row + j] - sum;
  }
  return d;
}

template <class Real>
MixHeadsGradients<Real> mix_heads_backward(const MixHeads<Real>& m, View<Real> dy) {
  const auto [softmax, v, B, H, T, D] = m;
  MixHeadsGradients<Real> d{.softmax = zeros<Real>(B * H * T * T), .v = zeros<Real>(B * H * T * D)};
  std::vector<Real> head = zeros<Real>(T * D);  // of dy
  for (int64_t b = 0; b < B; ++b)
    for (int64_t h = 0; h < H; ++h) {
      const int64_t n = b * H + h;
      for (int64_t t = 0; t < T; ++t)
        std::copy_n(dy.data() + ((b * T + t) * H + h) * D, D, head.data() + t * D);
      multiply_transposed(head.data(), v.data() + n * T * D, d.softmax.data() + n * T * T, T, D, T);
      transposed_multiply(softmax.data() + n * T * T, head.data(), d.v.data() + n * T * D, T, T, D);
    }
  return d;
}

template <class Real>
std::vector<Real> cross_entropy_backward(const CrossEntropy<Real>& c) {
  std::vector<Real> d = stored(softmax(c.logits, c.V));  // as its exponentials are
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

#define TPLAB_INSTANTIATE(Real)                                                              \
  template LinearGradients<Real> linear_backward(const Linear<Real>&, View<Real>);           \
  template LayerNormGradients<Real> layer_norm_backward(const LayerNorm<Real>&, View<Real>); \
  template std::vector<Real> gelu_backward(View<Real>, Gelu, View<Real>);                    \
  template std::vector<Real> split_heads_backward(const SplitHeads<Real>&, View<Real>);      \
  template ScoresGradients<Real> attention_scores_backward(const Scores<Real>&, View<Real>); \
  template std::vector<Real> softmax_backward(View<Real>, int64_t, View<Real>, View<Real>);  \
  template MixHeadsGradients<Real> mix_heads_backward(const MixHeads<Real>&, View<Real>);    \
  template std::vector<Real> cross_entropy_backward(const CrossEntropy<Real>&);              \
  template std::vector<Real> embedding_backward(std::span<const int>, int64_t, int64_t, View<Real>);
TPLAB_INSTANTIATE(double)
TPLAB_INSTANTIATE(Rough<DType::f32>)
TPLAB_INSTANTIATE(Rough<DType::f64>)
TPLAB_INSTANTIATE(Rough<DType::bf16>)
#undef TPLAB_INSTANTIATE

}  // namespace tplab::dense
