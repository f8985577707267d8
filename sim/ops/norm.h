// Norms over rows.
#pragma once

#include <utility>

#include "sim/ops/operation.h"
#include "sim/tensor.h"

namespace tplab {

namespace op {

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
//   x, dy, dx: [.., C]   weight, dweight, dbias: [C]
// source: Ba et al. 2016, differentiated
struct LayerNormBackward {
  Array x, weight;
  double eps;
  Array dy, dx, dweight, dbias;

  static constexpr std::string_view kName = "layer_norm_backward";
  Arrays reads() const { return {&x, &weight, &dy, &dweight, &dbias}; }
  Arrays writes() const { return {&dx, &dweight, &dbias}; }
};

}  // namespace op

namespace untyped {
Array layer_norm(Rank& rank, const Array& x, const Array& weight, const Array& bias, double eps);
Array layer_norm_backward(Rank& rank, Array&& dy, const Array& x, const Array& weight, double eps,
                          const Array& dweight, const Array& dbias);
}  // namespace untyped

// x: [.., C]   weight: [C]   bias: [C] or absent   ->   [.., C], placed as x is
template <class X, class W>
Tensor<typename LayerNormRule<X, W>::type> layer_norm(const Tensor<X>& x, const Tensor<W>& weight,
                                                      const Tensor<W>& bias, double eps) {
  return assume_placement<X>(
      x.rank(), untyped::layer_norm(x.rank(), x.array(), weight.array(), bias.array(), eps));
}

// dy: [.., C]   ->   dx: [.., C];   dweight: [C] and dbias, where there is a bias, are added to
template <class DY, class X, class W>
Grad<X> layer_norm_backward(Tensor<DY> dy, const Tensor<X>& x, const Tensor<W>& weight, double eps,
                            const Grad<W>& dweight, const Grad<W>& dbias) {
  (void)GradientOf<DY, typename LayerNormRule<X, W>::type>{};
  return assume_placement<Dual<X>>(
      x.rank(), untyped::layer_norm_backward(x.rank(), std::move(dy).take(), x.array(),
                                             weight.array(), eps, dweight.array(), dbias.array()));
}

}  // namespace tplab
