// Attention: over a cache, and over whole sequences for training.
#pragma once

#include "sim/ops/operation.h"
#include "sim/tensor.h"

namespace tplab {

namespace op {

// Causal multi-head attention. Stores the new keys and values at positions past .. past+T-1 of
// `keys` and `values`, then for each new position t:  y = softmax(q K[0..past+t]ᵀ / √D) V.
//   qkv: [B, T, 3 H D], q then k then v, each H heads of D   keys, values: [B, H, S, D]
//   y: [B, T, H D]      REQUIRES: past + T <= S
// source: Vaswani et al. 2017, section 3.2
struct CachedAttention {
  Array qkv;
  int64_t past;
  Array keys, values, y;

  static constexpr std::string_view kName = "cached_attention";
  Arrays reads() const { return {&qkv}; }
  Arrays writes() const { return {&keys, &values, &y}; }
  Cost cost() const;  // of the causal half, and of the cache what is filled
};

// Causal attention over whole sequences, for training: no cache. With s the scores q kᵀ / √D of
// the positions up to t, m their largest and d the dropout factors (1 where there is no mask):
//   log_sums = log Σ exp(s - m),   y = (exp(s - m - log_sums) d) v
// The exponents are differences of scores, scaled: right for any finite scores, as decoding's.
//   qkv: [B, T, 3 H D], q then k then v   ->   y: [B, T, H D]   log_sums: [B, H, T], accumulator's
struct CausalAttention {
  Array qkv;
  int64_t heads;
  std::optional<DropoutMask> mask;
  Array y, log_sums;

  static constexpr std::string_view kName = "causal_attention";
  Arrays reads() const { return {&qkv}; }
  Arrays writes() const { return {&y, &log_sums}; }
  Cost cost() const;  // of the causal half
};

// Its gradient; the probabilities are recomputed from log_sums, which the forward left.
//   dy: [B, T, H D]   ->   dqkv: [B, T, 3 H D]
// source: Dao et al. 2022, section 3.1 and appendix B.2 (the row sums Σ p dp as dy y)
struct CausalAttentionBackward {
  Array qkv;
  int64_t heads;
  std::optional<DropoutMask> mask;
  Array y, log_sums, dy, dqkv;

  static constexpr std::string_view kName = "causal_attention_backward";
  Arrays reads() const { return {&qkv, &y, &log_sums, &dy}; }
  Arrays writes() const { return {&dqkv}; }
  Cost cost() const;  // of the four products that are gradients, in the causal half
};

}  // namespace op

namespace untyped {
Array cached_attention(Rank& rank, const Array& qkv, int64_t heads_local, int64_t past, Array& keys,
                       Array& values);
struct Attended {
  Array y, log_sums;
};
Attended causal_attention(Rank& rank, const Array& qkv, int64_t heads_local,
                          const std::optional<DropoutMask>& mask);
Array causal_attention_backward(Rank& rank, const Array& dy, const Array& qkv, const Attended& done,
                                int64_t heads_local, const std::optional<DropoutMask>& mask);
}  // namespace untyped

template <class P>
struct Attended {
  Tensor<P> y;         // [B, T, heads_local D]
  Tensor<P> log_sums;  // [B, heads_local, T], which the backward needs
};
// Causal attention of this rank's heads over whole sequences, for training. A mask drops
// probabilities.   qkv: [B, T, 3 heads_local D]   ->   y: [B, T, heads_local D]
template <class P>
Attended<typename AttentionRule<P>::type> causal_attention(
    const Tensor<P>& qkv, int64_t heads_local, const std::optional<DropoutMask>& mask = {}) {
  Rank& rank = qkv.rank();
  untyped::Attended done = untyped::causal_attention(rank, qkv.array(), heads_local, mask);
  return {assume_placement<P>(rank, done.y), assume_placement<P>(rank, done.log_sums)};
}
// dy: [B, T, heads_local D]   ->   dqkv: [B, T, 3 heads_local D]
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

}  // namespace tplab
