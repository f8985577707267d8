// The layers of a dense transformer, a function each, as the papers write them: no ranks, no
// shards.
//
// A layer takes its operands as a struct of views, so that its backward (dense_backward.h) can take
// the same struct and the output's gradient. Arrays are row-major; numbers are doubles, or Rough
// ones, of which each operation is rounded at random (rough.h), and what a run stores, which are
// the results of linear, norm, activation, gated, mix_heads and their backward, as it is stored.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/architecture.h"

namespace tplab::dense {

template <class Real>
using View = std::span<const Real>;

// How a run's ranks share out a linear layer's input features, or its output features, which may be
// several groups, each shared out: q, k and v. What is summed over features that are shared out is
// a sum of terms that ranks store, which is a rounding each where what is stored is rounded.
struct Shares {
  int64_t of_in = 1, of_out = 1, groups_out = 1;
};

// y = x W^T + b.   x: [N, in]   weight: [out, in]   bias: [out] or empty   ->   y: [N, out]
template <class Real>
struct Linear {
  View<Real> x, weight, bias;
  int64_t in, out;
  Shares shares = {};
};
template <class Real>
std::vector<Real> linear(const Linear<Real>& l);

// Over the last dimension, with z the row in its own scale:
//   layer: z = (x - mean) / sqrt(variance + eps), y = z * weight + bias; the variance is the mean
//   of squared deviations (Ba et al. 2016) rms: z = x / sqrt(mean of squares + eps), y = z * weight
//   (Zhang and Sennrich 2019) plus_one: 1 + weight in the weight's place (Gemma) x, y: [N, C]
//   weight: [C]   bias: [C] or empty
template <class Real>
struct Norm {
  View<Real> x, weight, bias;
  int64_t C;
  double eps;
  bool rms = false, plus_one = false;
};
template <class Real>
std::vector<Real> norm(const Norm<Real>& l);

//   gelu: x Phi(x);  gelu_tanh: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))  (Hendrycks and
//   Gimpel 2016);  silu: x s(x), s(x) = 1 / (1 + exp(-x));  quick_gelu: x s(1.702 x);  relu;  tanh
template <class Real>
std::vector<Real> activation(View<Real> x, ActivationKind kind);

// act(gate) up, of rows [gate | up] (Shazeer 2020). Clamped, as gpt-oss has it: with g = min(gate,
// limit) and u = up within -limit .. limit, g s(alpha g) (u + 1).   x: [N, 2 F]   ->   [N, F]
template <class Real>
struct Gated {
  View<Real> x;
  int64_t F;
  ActivationKind kind;
  Gating gating;
};
template <class Real>
std::vector<Real> gated(const Gated<Real>& g);

// cap tanh(x / cap).   (Gemma Team 2024, Gemma 2, section 2)
template <class Real>
std::vector<Real> soft_cap(View<Real> x, double cap);

// Columns first .. first + H D of rows that are `width` long, as heads.
//   x: [B, T, width]   ->   [B, H, T, D]
template <class Real>
struct SplitHeads {
  View<Real> x;
  int64_t B, T, width, first, H, D;
};
template <class Real>
std::vector<Real> split_heads(const SplitHeads<Real>& s);

// Each position's pairs of features turned by its angle: x_i and x_{i + R/2}, for i < R/2, by t
// f_i; what is past the first R stays (Su et al. 2021; by halves as GPT-NeoX has it).
//   x: [N, T, D], position t of each   ->   the same
struct Turn {
  int64_t T, D;
  Rope rope;
};
template <class Real>
std::vector<Real> turn(View<Real> x, const Turn& t);

// scores = scale q k^T, capped if softcap is not 0, and -inf where the key is later than the query
// or, with a window, window or more before it. Query head h reads key head h / (H / K).
//   q: [B, H, T, D]   k: [B, K, T, D]   ->   [B, H, T, T]   (Vaswani et al. 2017, section 3.2.1;
//   of keys that heads share Ainslie et al. 2023)
template <class Real>
struct Scores {
  View<Real> q, k;
  int64_t B, H, K, T, D;
  double scale;
  int64_t window = 0;
  double softcap = 0;

  bool sees(int64_t query, int64_t key) const {
    return key <= query && (window == 0 || key > query - window);
  }
};
template <class Real>
std::vector<Real> attention_scores(const Scores<Real>& s);

// exp(x - max) / sum of exp(x - max), over rows of `width`. With sinks, one for each `rows_of_sink`
// rows in turn, each row has one more score, which is in its sum and not in its result (gpt-oss).
template <class Real>
struct Softmax {
  View<Real> x;
  int64_t width;
  View<Real> sinks = {};
  int64_t rows_of_sink = 1;

  size_t sink_of(int64_t row) const {
    return static_cast<size_t>(row / width / rows_of_sink) % sinks.size();
  }
};
template <class Real>
std::vector<Real> softmax(const Softmax<Real>& s);

// Each query's mean of the values, weighed by its softmax; the heads side by side again. Heads
// share values as they share keys.   softmax: [B, H, T, T]   v: [B, K, T, D]   ->   [B, T, H D]
template <class Real>
struct MixHeads {
  View<Real> softmax, v;
  int64_t B, H, K, T, D;
};
template <class Real>
std::vector<Real> mix_heads(const MixHeads<Real>& m);

// Mean over the targets that are not -1 of log(sum of exp(logits)) - logits[target]; 0/0 when all
// are -1, as PyTorch has it.   logits: [N, V]   targets: [N]   ->   the loss
template <class Real>
struct CrossEntropy {
  View<Real> logits;
  std::span<const int> targets;
  int64_t V;
};
template <class Real>
Real cross_entropy(const CrossEntropy<Real>& c);

// The table's row for each id.   table: [V, C]   ids: [N]   ->   [N, C]
template <class Real>
struct Embedding {
  View<Real> table;
  std::span<const int> ids;
  int64_t C;
};
template <class Real>
std::vector<Real> embedding(const Embedding<Real>& e);

// a + b, element by element.
template <class Real>
std::vector<Real> add(View<Real> a, View<Real> b);

}  // namespace tplab::dense
