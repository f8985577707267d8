// The optimizer.
#pragma once

#include "sim/ops/operation.h"

namespace tplab::op {

// out = the sum of the squares, added up in double.   ->   out: [1], f64
struct SumOfSquares {
  Array x, out;

  static constexpr std::string_view kName = "sum_of_squares";
  Arrays reads() const { return {&x}; }
  Arrays writes() const { return {&out}; }
};

// As PyTorch's, with g = grad_scale gradient:   p *= 1 - lr wd,   m = β1 m + (1 - β1) g,
//   v = β2 v + (1 - β2) g²,   p -= lr / (1 - β1^t) m / (√v / √(1 - β2^t) + eps)
// source: Loshchilov and Hutter 2019, algorithm 2
struct AdamW {
  tplab::AdamW step;
  Array gradient, m, v, parameter;

  static constexpr std::string_view kName = "adamw";
  Arrays reads() const { return {&gradient, &m, &v, &parameter}; }
  Arrays writes() const { return {&m, &v, &parameter}; }
};

}  // namespace tplab::op
