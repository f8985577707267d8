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

// y = x / sqrt(mean(x²) + eps) * weight, over each row; 1 + weight in weight's place with plus_one.
// y may be x.
//   x, y: [.., C]   weight: [C]
// source: Zhang and Sennrich 2019; plus_one is Gemma's
struct RmsNorm {
  Array x, weight;
  double eps;
  bool plus_one;
  Array y;

  static constexpr std::string_view kName = "rms_norm";
  Arrays reads() const { return {&x, &weight}; }
  Arrays writes() const { return {&y}; }
};

// With n = x / sqrt(mean(x²) + eps), recomputed from x, and g = dy weight (or 1 + weight), over
// each row:
//   dx = (g - n mean(g n)) / sqrt(mean(x²) + eps),   dweight += Σ dy n over the rows
// dx may be dy.
//   x, dy, dx: [.., C]   weight: [C]   dweight: [C]
struct RmsNormBackward {
  Array x, weight;
  double eps;
  bool plus_one;
  Array dy, dx, dweight;

  static constexpr std::string_view kName = "rms_norm_backward";
  Arrays reads() const { return {&x, &weight, &dy, &dweight}; }
  Arrays writes() const { return {&dx, &dweight}; }
};

}  // namespace op

namespace untyped {
Array layer_norm(Rank& rank, const Array& x, const Array& weight, const Array& bias, double eps);
Array layer_norm_backward(Rank& rank, Array&& dy, const Array& x, const Array& weight, double eps,
                          const Array& dweight, const Array& dbias);
Array rms_norm(Rank& rank, const Array& x, const Array& weight, double eps, bool plus_one);
Array rms_norm_backward(Rank& rank, Array&& dy, const Array& x, const Array& weight, double eps,
                        bool plus_one, const Array& dweight);
}  // namespace untyped

// x: [.., C]   weight: [C]   bias: [C] or absent   ->   [.., C], placed as x is
template <class X, class W>
Tensor<typename NormRule<X, W>::type> layer_norm(const Tensor<X>& x, const Tensor<W>& weight,
                                                 const Tensor<W>& bias, double eps) {
  return assume_placement<X>(
      x.rank(), untyped::layer_norm(x.rank(), x.array(), weight.array(), bias.array(), eps));
}

// dy: [.., C]   ->   dx: [.., C];   dweight: [C] and dbias, where there is a bias, are added to
template <class DY, class X, class W>
Grad<X> layer_norm_backward(Tensor<DY> dy, const Tensor<X>& x, const Tensor<W>& weight, double eps,
                            const Grad<W>& dweight, const Grad<W>& dbias) {
  (void)GradientOf<DY, typename NormRule<X, W>::type>{};
  return assume_placement<Dual<X>>(
      x.rank(), untyped::layer_norm_backward(x.rank(), std::move(dy).take(), x.array(),
                                             weight.array(), eps, dweight.array(), dbias.array()));
}

// x: [.., C]   weight: [C]   ->   [.., C], placed as x is
template <class X, class W>
Tensor<typename NormRule<X, W>::type> rms_norm(const Tensor<X>& x, const Tensor<W>& weight,
                                               double eps, bool plus_one = false) {
  return assume_placement<X>(x.rank(),
                             untyped::rms_norm(x.rank(), x.array(), weight.array(), eps, plus_one));
}

// dy: [.., C]   ->   dx: [.., C];   dweight: [C] is added to
template <class DY, class X, class W>
Grad<X> rms_norm_backward(Tensor<DY> dy, const Tensor<X>& x, const Tensor<W>& weight, double eps,
                          bool plus_one, const Grad<W>& dweight) {
  (void)GradientOf<DY, typename NormRule<X, W>::type>{};
  return assume_placement<Dual<X>>(
      x.rank(), untyped::rms_norm_backward(x.rank(), std::move(dy).take(), x.array(),
                                           weight.array(), eps, plus_one, dweight.array()));
}

}  // namespace tplab
