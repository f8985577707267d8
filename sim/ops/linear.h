// Products with weights, and what a bias' gradient is.
#pragma once

#include "sim/ops/operation.h"
#include "sim/tensor.h"

namespace tplab {

namespace op {

// y = x Wᵀ + b.   x: [.., K]   w: [N, K]   bias: [N] or absent   ->   y: [.., N]
struct Linear {
  Array x, w, bias, y;

  static constexpr std::string_view kName = "linear";
  Arrays reads() const { return {&x, &w, &bias}; }
  Arrays writes() const { return {&y}; }
  Cost cost() const;
};

// dx = dy W.   dy: [.., N]   w: [N, K]   ->   dx: [.., K]
struct LinearBackwardInput {
  Array dy, w, dx;

  static constexpr std::string_view kName = "linear_backward_input";
  Arrays reads() const { return {&dy, &w}; }
  Arrays writes() const { return {&dx}; }
  Cost cost() const;
};

// dw += dyᵀ x.   dy: [.., N]   x: [.., K]   ->   dw: [N, K]
struct LinearBackwardWeight {
  Array dy, x, dw;

  static constexpr std::string_view kName = "linear_backward_weight";
  Arrays reads() const { return {&dy, &x, &dw}; }
  Arrays writes() const { return {&dw}; }
  Cost cost() const;
};

// db += the sum of dy's rows: a bias's gradient.   dy: [.., N]   ->   db: [N]
struct SumRows {
  Array dy, db;

  static constexpr std::string_view kName = "sum_rows";
  Arrays reads() const { return {&dy, &db}; }
  Arrays writes() const { return {&db}; }
};

}  // namespace op

namespace untyped {
Array linear(Rank& rank, const Array& x, const Array& w, const Array& bias);
Array linear_backward(Rank& rank, const Array& dy, const Array& x, const Array& w, const Array& dw,
                      const Array& db);
void sum_rows(Rank& rank, const Array& dy, const Array& db);
}  // namespace untyped

// x Wᵀ.   x: [.., K]   W: [N, K], as in PyTorch's nn.Linear   ->   [.., N]
//   Replicated x, W split by output features (column parallel)     -> Varying
//   Varying x, W split by input features (row parallel)            -> Partial
template <class X, class W>
Tensor<typename MatmulRule<X, W>::type> matmul(const Tensor<X>& x, const Tensor<W>& w) {
  using Y = typename MatmulRule<X, W>::type;
  return assume_placement<Y>(x.rank(), untyped::linear(x.rank(), x.array(), w.array(), {}));
}

// dy: [.., N]   ->   dx = dy W: [.., K];   dw += dyᵀ x
//   column parallel: dx is Partial, and enter_backward sums it;  row parallel: dx is Varying
template <class DY, class X, class W>
Grad<X> matmul_backward(const Tensor<DY>& dy, const Tensor<X>& x, const Tensor<W>& w,
                        const Grad<W>& dw) {
  (void)GradientOf<DY, typename MatmulRule<X, W>::type>{};
  return assume_placement<Dual<X>>(
      x.rank(),
      untyped::linear_backward(x.rank(), dy.array(), x.array(), w.array(), dw.array(), {}));
}

// x Wᵀ + b, b: [N] or absent.
template <class X, class W, class B>
Tensor<typename LinearRule<X, W, B>::type> linear(const Tensor<X>& x, const Tensor<W>& w,
                                                  const Tensor<B>& b) {
  using Y = typename LinearRule<X, W, B>::type;
  return assume_placement<Y>(x.rank(), untyped::linear(x.rank(), x.array(), w.array(), b.array()));
}

// The same; db += the sum over the rows of dy, where there is a bias.
template <class DY, class X, class W, class B>
Grad<X> linear_backward(const Tensor<DY>& dy, const Tensor<X>& x, const Tensor<W>& w,
                        const Grad<W>& dw, const Tensor<B>& db) {
  (void)GradientOf<DY, typename MatmulRule<X, W>::type>{};
  static_assert(same<B, typename SumRowsRule<DY>::type>,
                "linear_backward: the bias' gradient must have the placement of dy's row sum.");
  return assume_placement<Dual<X>>(
      x.rank(),
      untyped::linear_backward(x.rank(), dy.array(), x.array(), w.array(), dw.array(), db.array()));
}

// The gradient of a bias that add() put on every row: db += the sum over the rows of dy. On a
// stream sharded by positions db is one term of a sum, Partial, until enter_backward. Absent:
// nothing.
template <class DY>
void bias_backward(const Tensor<DY>& dy, const Tensor<typename SumRowsRule<DY>::type>& db) {
  if (db.present()) untyped::sum_rows(dy.rank(), dy.array(), db.array());
}

}  // namespace tplab
