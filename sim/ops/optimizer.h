// The optimizer. Its numbers are of the flat list of parameters: it has no typed form here, what
// keeps its placements apart is model/training/.
#pragma once

#include "sim/device.h"
#include "sim/ops/operation.h"

namespace tplab {

namespace op {

// out = the sum of the squares, added up in double.   ->   out: [1], f64
struct SumOfSquares {
  Array x, out;

  static constexpr std::string_view kName = "sum_of_squares";
  Arrays reads() const { return {&x}; }
  Arrays writes() const { return {&out}; }
};

// What a step multiplies its gradients with, so that their norm is at most `limit`:
//   norm = √squares,   scale = min(1, limit / (norm + 1e-6)), 1 where limit is 0;
//   scale = NaN where the norm or the loss is not finite
// All are [1], f64.   source: torch.nn.utils.clip_grad_norm_, whose 1e-6 it is
struct ClipScale {
  Array squares, loss;
  double limit;
  Array norm, scale;

  static constexpr std::string_view kName = "clip_scale";
  Arrays reads() const { return {&squares, &loss}; }
  Arrays writes() const { return {&norm, &scale}; }
};

// As PyTorch's, with g = scale gradient:   p *= 1 - lr wd,   m = β1 m + (1 - β1) g,
//   v = β2 v + (1 - β2) g²,   p -= lr / (1 - β1^t) m / (√v / √(1 - β2^t) + eps)
// Where scale ([1], f64) is NaN nothing is changed: no step is made from a gradient that is none.
// copy = p, rounded once: what layers read where p is a master copy (f32) of bf16 parameters.
//   gradient, m, v, parameter: of one shape and dtype
//   copy: of that shape, and of a dtype whose accumulator's they are; or absent
// source: Loshchilov and Hutter 2019, algorithm 2; of master copies Micikevicius et al. 2018,
//         section 3.1
struct AdamW {
  tplab::AdamW step;
  Array scale, gradient, m, v, parameter, copy;

  static constexpr std::string_view kName = "adamw";
  Arrays reads() const { return {&scale, &gradient, &m, &v, &parameter}; }
  Arrays writes() const { return {&m, &v, &parameter, &copy}; }
};

}  // namespace op

// Of an array, in host memory, once it is computed.
double sum_of_squares(Device& device, const Array& x);

}  // namespace tplab
