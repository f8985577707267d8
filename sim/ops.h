// What each rank computes alone, typed: every operation follows its rule in placement.h.
//
// Shapes here are local. Each function checks shapes and dtypes and throws Error(run) naming the
// site; none communicates. Tensors are taken by value where the result may reuse their memory: pass
// a temporary, or std::move, and nothing is allocated.
#pragma once

#include <cstdint>
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
Array attention(Rank& rank, const Array& qkv, int64_t heads_local, int64_t past, Array& keys,
                Array& values);
Array last_position(Rank& rank, const Array& x);
double cross_entropy(Rank& rank, const Array& logits, std::span<const int32_t> targets);
}  // namespace untyped

// x Wᵀ.   x: [.., K]   W: [N, K], as in PyTorch's nn.Linear   ->   [.., N]
//   Replicated x, W split by output features (column parallel)     -> Varying
//   Varying x, W split by input features (row parallel)            -> Partial
template <class X, class W>
Tensor<typename MatmulRule<X, W>::type> matmul(const Tensor<X>& x, const Tensor<W>& w) {
  using Y = typename MatmulRule<X, W>::type;
  return assume_placement<Y>(x.rank(), untyped::linear(x.rank(), x.array(), w.array(), {}));
}

// x Wᵀ + b, b: [N] or absent.
template <class X, class W, class B>
Tensor<typename LinearRule<X, W, B>::type> linear(const Tensor<X>& x, const Tensor<W>& w,
                                                  const Tensor<B>& b) {
  using Y = typename LinearRule<X, W, B>::type;
  return assume_placement<Y>(x.rank(), untyped::linear(x.rank(), x.array(), w.array(), b.array()));
}

// a + b; b of a's shape, or one row of it, or absent.
template <class A, class B>
Tensor<typename AddRule<A, B>::type> add(Tensor<A> a, Tensor<B> b) {
  using Y = typename AddRule<A, B>::type;
  Rank& rank = a.rank();
  return assume_placement<Y>(rank, untyped::add(rank, std::move(a).take(), std::move(b).take()));
}

template <class P>
Tensor<typename GeluRule<P>::type> gelu(Gelu kind, Tensor<P> x) {
  Rank& rank = x.rank();
  return assume_placement<P>(rank, untyped::gelu(rank, kind, std::move(x).take()));
}

// (x - mean) / sqrt(var + eps) * weight + bias, over the last dimension. bias may be absent.
template <class X, class W>
Tensor<typename LayerNormRule<X, W>::type> layer_norm(const Tensor<X>& x, const Tensor<W>& weight,
                                                      const Tensor<W>& bias, double eps) {
  return assume_placement<X>(
      x.rank(), untyped::layer_norm(x.rank(), x.array(), weight.array(), bias.array(), eps));
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

// Causal attention of this rank's heads. keys and values: [B, heads_local, S, D], whose first
// `past` positions are filled; the new ones are stored behind them.
//   qkv: [B, T, 3 heads_local D]   ->   [B, T, heads_local D]
template <class P>
Tensor<typename AttentionRule<P>::type> attention(const Tensor<P>& qkv, int64_t heads_local,
                                                  int64_t past, Tensor<P>& keys,
                                                  Tensor<P>& values) {
  Rank& rank = qkv.rank();
  Array k = keys.array(), v = values.array();
  return assume_placement<P>(rank, untyped::attention(rank, qkv.array(), heads_local, past, k, v));
}

// The last position of each sequence.   x: [B, T, C]   ->   [B, 1, C]
template <class P>
Tensor<P> last_position(const Tensor<P>& x) {
  return assume_placement<P>(x.rank(), untyped::last_position(x.rank(), x.array()));
}

// Mean over positions of -log softmax(logits)[target]; targets below 0 are ignored.
template <class P>
double cross_entropy(const Tensor<P>& logits, std::span<const int32_t> targets) {
  (void)CrossEntropyRule<P>{};
  return untyped::cross_entropy(logits.rank(), logits.array(), targets);
}

}  // namespace tplab
