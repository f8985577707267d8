// The layers of a dense transformer, a function each, as the papers write them: no ranks, no
// shards.
//
// A layer takes its operands as a struct of views, so that its backward (dense_backward.h) can take
// the same struct and the output's gradient. Arrays are row-major; numbers are doubles, or Rough
// ones, of which each operation is rounded at random (rough.h), and what a run stores, which are
// the results of linear, layer_norm, gelu, mix_heads and their backward, as it is stored.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/config.h"

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

// y = (x - mean) / sqrt(variance + eps) * weight + bias, over the last dimension; the variance is
// the mean of squared deviations (Ba et al. 2016).   x, y: [N, C]   weight: [C]   bias: [C] or
// empty
template <class Real>
struct LayerNorm {
  View<Real> x, weight, bias;
  int64_t C;
  double eps;
};
template <class Real>
std::vector<Real> layer_norm(const LayerNorm<Real>& l);

// erf: x Phi(x);  tanh: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))  (Hendrycks and Gimpel 2016)
template <class Real>
std::vector<Real> gelu(View<Real> x, Gelu kind);

// One third of the fused projection as heads: part 0 is q, 1 is k, 2 is v.
//   qkv: [B, T, 3 H D], columns [Q | K | V], each head by head   ->   [B, H, T, D]
template <class Real>
struct SplitHeads {
  View<Real> qkv;
  int64_t B, T, H, D, part;
};
template <class Real>
std::vector<Real> split_heads(const SplitHeads<Real>& s);

// scores = q k^T / sqrt(D), and -inf where the key is later than the query.
//   q, k: [N, T, D], N = B H   ->   [N, T, T]   (Vaswani et al. 2017, section 3.2.1)
template <class Real>
struct Scores {
  View<Real> q, k;
  int64_t N, T, D;
};
template <class Real>
std::vector<Real> attention_scores(const Scores<Real>& s);

// exp(x - max) / sum of exp(x - max), over rows of `width`.
template <class Real>
std::vector<Real> softmax(View<Real> x, int64_t width);

// Each query's mean of the values, weighed by its softmax; the heads side by side again.
//   softmax: [B, H, T, T]   v: [B, H, T, D]   ->   [B, T, H D]
template <class Real>
struct MixHeads {
  View<Real> softmax, v;
  int64_t B, H, T, D;
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
