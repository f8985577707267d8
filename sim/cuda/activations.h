// What one number becomes by an activation, and its slope.
#pragma once

#include <cmath>

#include "sim/cuda/language.h"
#include "sim/ops/operation.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

// Φ(x)
template <class Sum>
__device__ Sum normal_cdf(Sum x) {
  return Sum(0.5) * (Sum(1) + std::erf(x * Sum(0.70710678118654752440)));
}
template <class Sum>
__device__ Sum sigmoid(Sum x) {
  return Sum(1) / (Sum(1) + std::exp(-x));
}
// x σ(alpha x)
template <class Sum>
__device__ Sum gate(Sum x, Sum alpha) {
  return x / (Sum(1) + std::exp(-alpha * x));
}
template <class Sum>
__device__ Sum clamped(Sum x, Sum limit) {  // a NaN stays
  return x > limit ? limit : x < -limit ? -limit : x;
}
// Its slope; past 1000 that is 0 or 1, and products of what is infinite and 0 are none.
template <class Sum>
__device__ Sum gate_slope(Sum x, Sum alpha) {
  const Sum u = x * alpha, s = sigmoid(u);
  return clamped(u, Sum(1e3)) * s * (Sum(1) - s) + s;
}

// What op::Activation says of each kind, x/2 (1 + tanh(u)) being x / (1 + exp(-2u)): no
// cancellation.
template <class Sum>
__device__ Sum activation_of(ActivationKind kind, Sum x) {
  const Sum c = Sum(-2 * 0.79788456080286535588);  // -2 √(2/π)
  switch (kind) {
    case ActivationKind::gelu:
      return x * normal_cdf(x);
    case ActivationKind::gelu_tanh:
      return x / (Sum(1) + std::exp(x * (x * x * (c * Sum(0.044715)) + c)));
    case ActivationKind::silu:
      return gate(x, Sum(1));
    case ActivationKind::quick_gelu:
      return gate(x, Sum(1.702));
    case ActivationKind::relu:
      return x < Sum(0) ? Sum(0) : x;
    case ActivationKind::tanh:
      return std::tanh(x);
  }
  return x;
}

// Past 32 gelu's slopes are 0 or 1, and powers of x may be infinite.
template <class Sum>
__device__ Sum slope_of(ActivationKind kind, Sum x) {
  switch (kind) {
    case ActivationKind::gelu: {
      const Sum near = clamped(x, Sum(32));
      const Sum density = std::exp(near * near * Sum(-0.5)) * Sum(0.39894228040143267794);
      return near * density + normal_cdf(near);
    }
    case ActivationKind::gelu_tanh: {
      const Sum near = clamped(x, Sum(32)), square = near * near;
      const Sum c = Sum(2 * 0.79788456080286535588);  // 2 √(2/π)
      const Sum s = Sum(1) / (Sum(1) + std::exp(near * (square * (-c * Sum(0.044715)) - c)));
      return near * (square * (c * Sum(3 * 0.044715)) + c) * s * (Sum(1) - s) + s;
    }
    case ActivationKind::silu:
      return gate_slope(x, Sum(1));
    case ActivationKind::quick_gelu:
      return gate_slope(x, Sum(1.702));
    case ActivationKind::relu:
      return x > Sum(0) ? Sum(1) : x <= Sum(0) ? Sum(0) : x;
    case ActivationKind::tanh: {
      const Sum y = std::tanh(x);
      return Sum(1) - y * y;
    }
  }
  return x;
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
