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

// With z the row in its own scale, w its weight and g = dy w:
//   layer: dx = (g - mean(g) - z mean(g z)) / sqrt(variance + eps), since mean and variance hold x
//   rms:   dx = (g - z mean(g z)) / sqrt(mean of squares + eps)
//   dweight = sum over rows of dy z   dbias = sum over rows of dy; empty without a bias
template <class Real>
struct NormGradients {
  std::vector<Real> x, weight, bias;
};
template <class Real>
NormGradients<Real> norm_backward(const Norm<Real>& l, View<Real> dy);

// dx = dy f'(x)
template <class Real>
std::vector<Real> activation_backward(View<Real> x, ActivationKind kind, View<Real> dy);

//   dy: [N, F]   ->   [N, 2 F], of the gates and of what they let through
template <class Real>
std::vector<Real> gated_backward(const Gated<Real>& g, View<Real> dy);

// dx = dy (1 - (y / cap)^2), of the result y.
template <class Real>
std::vector<Real> soft_cap_backward(View<Real> y, double cap, View<Real> dy);

// dx: [B, T, width], zero in the columns that were not taken: the gradient of x is the sum over all
// that took some.
template <class Real>
std::vector<Real> split_heads_backward(const SplitHeads<Real>& s, View<Real> dy);

// Turned back: a rotation's transpose.
template <class Real>
std::vector<Real> turn_backward(View<Real> dy, const Turn& t);

// dq = d k scale   dk = d^T q scale, summed over the heads that read k, where d is the gradient of
// q k^T scale, zero where masked. y: the scores.
template <class Real>
struct ScoresGradients {
  std::vector<Real> q, k;
};
template <class Real>
ScoresGradients<Real> attention_scores_backward(const Scores<Real>& s, View<Real> y,
                                                View<Real> dscores);

// dx = y (dy - sum over the row of y dy); sums: those sums, if they are known.   A sink's gradient
// is the sum over its rows of -(its share) (that sum), since nothing reads its share.
template <class Real>
struct SoftmaxGradients {
  std::vector<Real> x, sinks;
};
template <class Real>
SoftmaxGradients<Real> softmax_backward(const Softmax<Real>& s, View<Real> dy,
                                        View<Real> sums = {});

// A head's y = P v: dP = dy v^T   dv = P^T dy, summed over the heads that read v
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
