// What each rank computes alone, typed: every operation follows its rule in placement.h.
//
// Shapes here are local. Each function checks shapes and dtypes and throws Error(run) naming the
// site; none communicates. Tensors are taken by value where the result may reuse their memory: pass
// a temporary, or std::move, and nothing is allocated.
//
// Beside each operation stands its backward: from dy, the gradient of the result, it returns the
// gradient of its activation and ADDS to the gradients of its parameters. The placements of both
// follow from the duals, so a reduction that is missing or doubled does not compile.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "sim/tensor.h"

namespace tplab {

// The same operations without placements: checks, allocation, and the call of the device.
namespace untyped {
Array linear(Rank& rank, const Array& x, const Array& w, const Array& bias);
Array add(Rank& rank, Array a, Array b);
Array gelu(Rank& rank, Gelu kind, Array x);
Array layer_norm(Rank& rank, const Array& x, const Array& weight, const Array& bias, double eps);
Array embedding(Rank& rank, std::span<const int32_t> ids, Shape ids_shape, const Array& table,
                int64_t first_row);
Array cached_attention(Rank& rank, const Array& qkv, int64_t heads_local, int64_t past, Array& keys,
                       Array& values);
Array last_position(Rank& rank, const Array& x);
double cross_entropy(Rank& rank, const Array& logits, std::span<const int32_t> targets);

Array linear_backward(Rank& rank, const Array& dy, const Array& x, const Array& w, const Array& dw,
                      const Array& db);
void sum_rows(Rank& rank, const Array& dy, const Array& db);
Array gelu_backward(Rank& rank, Gelu kind, const Array& x, Array dy);
Array layer_norm_backward(Rank& rank, Array dy, const Array& x, const Array& weight, double eps,
                          const Array& dweight, const Array& dbias);
void embedding_backward(Rank& rank, std::span<const int32_t> ids, const Array& dy,
                        const Array& dtable, int64_t first_row);
Array dropout(Rank& rank, Array x, const DropoutMask& mask);
struct Attended {
  Array y, log_sums;
};
Attended causal_attention(Rank& rank, const Array& qkv, int64_t heads_local,
                          const std::optional<DropoutMask>& mask);
Array causal_attention_backward(Rank& rank, const Array& dy, const Array& qkv, const Attended& done,
                                int64_t heads_local, const std::optional<DropoutMask>& mask);
Array row_max(Rank& rank, const Array& x, int64_t cols);
Array pick(Rank& rank, const Array& x, int64_t cols, std::span<const int32_t> ids, int64_t first);
Array exp_rows(Rank& rank, const Array& x, int64_t cols, const Array& shift);
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

// a + b; b of a's shape, or one row of it, or absent.
template <class A, class B>
Tensor<typename AddRule<A, B>::type> add(Tensor<A> a, Tensor<B> b) {
  using Y = typename AddRule<A, B>::type;
  Rank& rank = a.rank();
  return assume_placement<Y>(rank, untyped::add(rank, std::move(a).take(), std::move(b).take()));
}

// The gradient of a bias that add() put on every row: db += the sum over the rows of dy. On a
// stream sharded by positions db is one term of a sum, Partial, until enter_backward. Absent:
// nothing.
template <class DY>
void bias_backward(const Tensor<DY>& dy, const Tensor<typename SumRowsRule<DY>::type>& db) {
  if (db.present()) untyped::sum_rows(dy.rank(), dy.array(), db.array());
}

template <class P>
Tensor<typename GeluRule<P>::type> gelu(Gelu kind, Tensor<P> x) {
  Rank& rank = x.rank();
  return assume_placement<P>(rank, untyped::gelu(rank, kind, std::move(x).take()));
}

// dy gelu'(x)
template <class DY, class P>
Grad<P> gelu_backward(Gelu kind, Tensor<DY> dy, const Tensor<P>& x) {
  (void)GradientOf<DY, P>{};
  return assume_placement<Dual<P>>(
      x.rank(), untyped::gelu_backward(x.rank(), kind, x.array(), std::move(dy).take()));
}

// (x - mean) / sqrt(var + eps) * weight + bias, over the last dimension. bias may be absent.
template <class X, class W>
Tensor<typename LayerNormRule<X, W>::type> layer_norm(const Tensor<X>& x, const Tensor<W>& weight,
                                                      const Tensor<W>& bias, double eps) {
  return assume_placement<X>(
      x.rank(), untyped::layer_norm(x.rank(), x.array(), weight.array(), bias.array(), eps));
}

// With n = (x - mean) / s, s = sqrt(var + eps), and g = dy weight:
//   dx = (g - mean(g) - n mean(g n)) / s;   dweight += sum over rows of dy n;   dbias += of dy
// source: Ba et al. 2016, differentiated
template <class DY, class X, class W>
Grad<X> layer_norm_backward(Tensor<DY> dy, const Tensor<X>& x, const Tensor<W>& weight, double eps,
                            const Grad<W>& dweight, const Grad<W>& dbias) {
  (void)GradientOf<DY, typename LayerNormRule<X, W>::type>{};
  return assume_placement<Dual<X>>(
      x.rank(), untyped::layer_norm_backward(x.rank(), std::move(dy).take(), x.array(),
                                             weight.array(), eps, dweight.array(), dbias.array()));
}

// Rows of a table, ids: [B, T]   ->   [B, T, C]. A Varying table holds rows first_row .. of the
// vocabulary; other rows come out as zeros.
template <class P>
Tensor<typename EmbeddingRule<P>::type> embedding(std::span<const int32_t> ids, Shape ids_shape,
                                                  const Tensor<P>& table, int64_t first_row = 0) {
  using Y = typename EmbeddingRule<P>::type;
  Rank& rank = table.rank();
  return assume_placement<Y>(rank,
                             untyped::embedding(rank, ids, ids_shape, table.array(), first_row));
}

// dtable[ids[i] - first_row] += dy[i], for the rows that this rank has.
template <class P>
void embedding_backward(std::span<const int32_t> ids,
                        const Grad<typename EmbeddingRule<P>::type>& dy, const Tensor<P>& table,
                        const Grad<P>& dtable, int64_t first_row = 0) {
  untyped::embedding_backward(table.rank(), ids, dy.array(), dtable.array(), first_row);
}

// Zeros the numbers that the mask drops and scales the rest by 1 / (1 - rate). Its own backward.
template <class P>
Tensor<P> dropout(Tensor<P> x, const DropoutMask& mask) {
  static_assert(!same<P, Partial>, "dropout: drop from the sum, not from its terms.");
  Rank& rank = x.rank();
  return assume_placement<P>(rank, untyped::dropout(rank, std::move(x).take(), mask));
}

// Causal attention of this rank's heads over whole sequences, for training. A mask drops
// probabilities.   qkv: [B, T, 3 heads_local D]   ->   y: [B, T, heads_local D]
template <class P>
struct Attended {
  Tensor<P> y;
  Tensor<P> log_sums;  // [B, heads_local, T]: log of the softmax' sums, which the backward needs
};
template <class P>
Attended<typename AttentionRule<P>::type> causal_attention(
    const Tensor<P>& qkv, int64_t heads_local, const std::optional<DropoutMask>& mask = {}) {
  Rank& rank = qkv.rank();
  untyped::Attended done = untyped::causal_attention(rank, qkv.array(), heads_local, mask);
  return {assume_placement<P>(rank, done.y), assume_placement<P>(rank, done.log_sums)};
}
// dqkv, the probabilities computed anew.   source: Dao 2022, section 3.1
template <class DY, class P>
Grad<P> causal_attention_backward(const Tensor<DY>& dy, const Tensor<P>& qkv,
                                  const Attended<P>& done, int64_t heads_local,
                                  const std::optional<DropoutMask>& mask = {}) {
  (void)GradientOf<DY, P>{};
  Rank& rank = qkv.rank();
  return assume_placement<Dual<P>>(
      rank, untyped::causal_attention_backward(rank, dy.array(), qkv.array(),
                                               {done.y.array(), done.log_sums.array()}, heads_local,
                                               mask));
}

// The same for generation, from a cache. keys and values: [B, heads_local, S, D], whose first
// `past` positions are filled; the new ones are stored behind them.
//   qkv: [B, T, 3 heads_local D]   ->   [B, T, heads_local D]
template <class P>
Tensor<typename AttentionRule<P>::type> cached_attention(const Tensor<P>& qkv, int64_t heads_local,
                                                         int64_t past, Tensor<P>& keys,
                                                         Tensor<P>& values) {
  Rank& rank = qkv.rank();
  Array k = keys.array(), v = values.array();
  return assume_placement<P>(rank,
                             untyped::cached_attention(rank, qkv.array(), heads_local, past, k, v));
}

// The last position of each sequence.   x: [B, T, C]   ->   [B, 1, C]
template <class P>
Tensor<P> last_position(const Tensor<P>& x) {
  return assume_placement<P>(x.rank(), untyped::last_position(x.rank(), x.array()));
}

// What a loss over a sharded vocabulary is made of; model/layers/loss.h puts the ranks' parts
// together. x: [.., V/tp] of which the first `cols` columns are real, the rest padding.
//   row_max: the largest of this rank's columns         ->   [..]
//   pick: x[r, ids[r] - first], 0 where another rank has it; the sum over ranks is the value
//   exp_rows: overwrites x with exp(x - shift), and returns this rank's term of each row's sum
inline Tensor<Varying> row_max(const Tensor<Varying>& x, int64_t cols) {
  return assume_placement<Varying>(x.rank(), untyped::row_max(x.rank(), x.array(), cols));
}
inline Tensor<Partial> pick(const Tensor<Varying>& x, int64_t cols, std::span<const int32_t> ids,
                            int64_t first) {
  return assume_placement<Partial>(x.rank(), untyped::pick(x.rank(), x.array(), cols, ids, first));
}
inline Tensor<Partial> exp_rows(const Tensor<Varying>& x, int64_t cols,
                                const Tensor<Invariant>& shift) {
  return assume_placement<Partial>(x.rank(),
                                   untyped::exp_rows(x.rank(), x.array(), cols, shift.array()));
}

// scale (x / sums - onehot(ids)) in x's memory: the gradient of a cross-entropy, from exp_rows' x.
inline Grad<Varying> softmax_minus_onehot(Tensor<Varying> x, int64_t cols,
                                          const Tensor<Invariant>& sums,
                                          std::span<const int32_t> ids, int64_t first,
                                          double scale) {
  Rank& rank = x.rank();
  Array exps = std::move(x).take();
  rank.device().run(op::SoftmaxMinusOnehot{exps, cols, sums.array(), ids, first, scale});
  return assume_placement<Varying>(rank, std::move(exps));
}

// Mean over positions of -log softmax(logits)[target]; targets below 0 are ignored.
template <class P>
double cross_entropy(const Tensor<P>& logits, std::span<const int32_t> targets) {
  (void)CrossEntropyRule<P>{};
  return untyped::cross_entropy(logits.rank(), logits.array(), targets);
}

}  // namespace tplab
