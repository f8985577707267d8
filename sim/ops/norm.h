// Norms over rows.
#pragma once

#include "sim/ops/operation.h"

namespace tplab::op {

// y = (x - mean) / sqrt(var + eps) * weight + bias, over each row; var is the mean square of
// x - mean, computed in two passes. y may be x.
//   x, y: [.., C]   weight: [C]   bias: [C] or absent
// source: Ba et al. 2016
struct LayerNorm {
  Array x, weight, bias;
  double eps;
  Array y;

  static constexpr std::string_view kName = "layer_norm";
  Arrays reads() const { return {&x, &weight, &bias}; }
  Arrays writes() const { return {&y}; }
};

// With n = (x - mean) / sqrt(var + eps), recomputed from x, and g = dy weight, over each row:
//   dx = (g - mean(g) - n mean(g n)) / sqrt(var + eps),   dweight += Σ dy n,   dbias += Σ dy
// the sums being over rows. dbias may be absent. dx may be dy.
struct LayerNormBackward {
  Array x, weight;
  double eps;
  Array dy, dx, dweight, dbias;

  static constexpr std::string_view kName = "layer_norm_backward";
  Arrays reads() const { return {&x, &weight, &dy}; }
  Arrays writes() const { return {&dx, &dweight, &dbias}; }
};

}  // namespace tplab::op
