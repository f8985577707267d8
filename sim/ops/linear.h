// Products with weights, and what a bias' gradient is.
#pragma once

#include "sim/ops/operation.h"

namespace tplab::op {

// y = x Wᵀ + b.   x: [.., K]   w: [N, K]   bias: [N] or absent   ->   y: [.., N]
struct Linear {
  Array x, w, bias, y;

  static constexpr std::string_view kName = "linear";
  Arrays reads() const { return {&x, &w, &bias}; }
  Arrays writes() const { return {&y}; }
};

// dx = dy W.   dy: [.., N]   w: [N, K]   ->   dx: [.., K]
struct LinearBackwardInput {
  Array dy, w, dx;

  static constexpr std::string_view kName = "linear_backward_input";
  Arrays reads() const { return {&dy, &w}; }
  Arrays writes() const { return {&dx}; }
};

// dw += dyᵀ x.   dy: [.., N]   x: [.., K]   ->   dw: [N, K]
struct LinearBackwardWeight {
  Array dy, x, dw;

  static constexpr std::string_view kName = "linear_backward_weight";
  Arrays reads() const { return {&dy, &x}; }
  Arrays writes() const { return {&dw}; }
};

// db += the sum of dy's rows: a bias's gradient.   dy: [.., N]   ->   db: [N]
struct SumRows {
  Array dy, db;

  static constexpr std::string_view kName = "sum_rows";
  Arrays reads() const { return {&dy}; }
  Arrays writes() const { return {&db}; }
};

}  // namespace tplab::op
