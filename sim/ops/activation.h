// What acts on one number at a time.
#pragma once

#include "sim/ops/operation.h"

namespace tplab::op {

// y = a + b, b being of a's shape or one row of it ([a's last size]). y may be a or b.
struct Add {
  Array a, b, y;

  static constexpr std::string_view kName = "add";
  Arrays reads() const { return {&a, &b}; }
  Arrays writes() const { return {&y}; }
};

// erf: x/2 (1 + erf(x/√2)).  tanh: x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))). y may be x.
struct Gelu {
  tplab::Gelu kind;
  Array x, y;

  static constexpr std::string_view kName = "gelu";
  Arrays reads() const { return {&x}; }
  Arrays writes() const { return {&y}; }
};

// dx = dy gelu'(x). dx may be dy.
// erf: gelu' = Φ(x) + x φ(x).  tanh: with s = 1 / (1 + exp(-2u)), u = √(2/π) (x + 0.044715 x³),
// gelu' = s + 2 x s (1 - s) u'.
struct GeluBackward {
  tplab::Gelu kind;
  Array x, dy, dx;

  static constexpr std::string_view kName = "gelu_backward";
  Arrays reads() const { return {&x, &dy}; }
  Arrays writes() const { return {&dx}; }
};

// y = x, dropped or divided by 1 - rate. Its own backward, applied to dy. y may be x.   [B, T, C]
struct Dropout {
  Array x;
  DropoutMask mask;
  Array y;

  static constexpr std::string_view kName = "dropout";
  Arrays reads() const { return {&x}; }
  Arrays writes() const { return {&y}; }
};

}  // namespace tplab::op
