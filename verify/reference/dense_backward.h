// The dense layers' backward passes: the gradient of every operand, given the output's.
//
// L is the loss, and dy means dL/dy: an array of y's shape. A backward takes the operands its
// forward took and dy, and computes again what it needs of the forward. Each is the chain rule
// written out, dL/dx_i = sum over j of dL/dy_j dy_j/dx_i (Rumelhart et al. 1986).
//
// add needs none: the gradient of a + b is the gradient of a, and of b.
#pragma once

#include <vector>

#include "verify/reference/dense.h"

namespace tplab::dense {

// dx = dy W   dW = dy^T x   db = sum over n of dy[n]; without a bias its gradient is empty.
template <class Real>
struct LinearGradients {
  std::vector<Real> x, weight, bias;
};
template <class Real>
LinearGradients<Real> linear_backward(const Linear<Real>& l, View<Real> dy);

// With z = (x - mean) / sqrt(variance + eps) and g = dy * weight:
//   dx = (g - mean(g) - z mean(g z)) / sqrt(variance + eps), since mean and variance hold x too
//   dweight = sum over rows of dy z   dbias = sum over rows of dy; empty without a bias
template <class Real>
struct LayerNormGradients {
  std::vector<Real> x, weight, bias;
};
template <class Real>
LayerNormGradients<Real> layer_norm_backward(const LayerNorm<Real>& l, View<Real> dy);

// erf: Phi(x) + x phi(x);  tanh: with t = tanh(s), s = sqrt(2/pi) (x + 0.044715 x^3),
// (1 + t)/2 + x/2 (1 - t^2) ds/dx
template <class Real>
std::vector<Real> gelu_backward(View<Real> x, Gelu kind, View<Real> dy);

// dqkv: [B, T, 3 H D], zero in the two parts that were not taken: the gradient of qkv is the sum
// over the three.
template <class Real>
std::vector<Real> split_heads_backward(const SplitHeads<Real>& s, View<Real> dy);

// dq = d k / sqrt(D)   dk = d^T q / sqrt(D), where d is the scores' gradient, zero where masked.
template <class Real>
struct ScoresGradients {
  std::vector<Real> q, k;
};
template <class Real>
ScoresGradients<Real> attention_scores_backward(const Scores<Real>& s, View<Real> dscores);

// dx = y (dy - sum over the row of y dy); sums: those sums, if they are known.
template <class Real>
std::vector<Real> softmax_backward(View<Real> x, int64_t width, View<Real> dy,
                                   View<Real> sums = {});

// A head's y = P v: dP = dy v^T   dv = P^T dy
template <class Real>
struct MixHeadsGradients {
  std::vector<Real> softmax, v;
};
template <class Real>
MixHeadsGradients<Real> mix_heads_backward(const MixHeads<Real>& m, View<Real> dy);

// (softmax(logits) - 1 at the target) / number of targets that are not -1; zero in the rows of
// those that are. The loss is the last value, so its own gradient is 1.
template <class Real>
std::vector<Real> cross_entropy_backward(const CrossEntropy<Real>& c);

// A row of a table of so many rows gets the sum over the places where it was looked up.
//   ->   [rows, C]
template <class Real>
std::vector<Real> embedding_backward(std::span<const int> ids, int64_t rows, int64_t C,
                                     View<Real> dy);

}  // namespace tplab::dense
