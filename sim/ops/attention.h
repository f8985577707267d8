// Attention: over a cache, and over whole sequences for training.
#pragma once

#include <cmath>

#include "sim/ops/operation.h"
#include "sim/ops/past.h"
#include "sim/tensor.h"

namespace tplab {

// What a head computes, the same for training and decoding.
struct AttentionForm {
  int64_t heads;                         // H, of this rank
  int64_t kv_heads;                      // K: query head h reads key and value head h / (H / K)
  double scale = 0;                      // of q·k; 0: 1/√D
  int64_t window = 0;                    // a query at t sees keys t - window + 1 .. t; 0: 0 .. t
  double softcap = 0;                    // z becomes softcap tanh(z / softcap); 0: it does not
  std::optional<DropoutMask> mask = {};  // of probabilities, in training
};

namespace op {

// For each query at position t, over the keys j that it sees, with c the soft cap, d the dropout
// factors (1 where there is no mask) and sink its head's entry of `sinks`:
//   u_j = q·k_j, a = scale     or, with a soft cap:   u_j = c tanh(scale q·k_j / c), a = 1
//   m = max u_j,   L = log(Σ exp(a (u_j - m)) + exp(sink - a m))     (no last term without sinks)
//   p_j = exp(a (u_j - m) - L),   y = Σ p_j d_j v_j
// So a sink takes probability and gives no value. m is of the products as they come, before any
// scale, and the exponents are differences, scaled: right for any finite scores.
//
//   qkv: [B, T, (H + 2 K) D], heads of D: H of queries, K of keys, K of values
//   sinks: [H] or absent   ->   y: [B, T, H D]
//   H a multiple of K; scale, window, softcap >= 0; D any, of fast kernels up to 256

// Over a cache, of sequences that go on: stores the new keys and values at positions past ..
// past + T - 1 of `keys` and `values`, past being the sequence's own entry of past.filled, and then
// computes y for the queries at these positions. Positions behind them are not read.
//   keys, values: [B, K, S, D]      REQUIRES: past.at_most + T <= S, no mask
// source: Vaswani et al. 2017, section 3.2
struct CachedAttention {
  AttentionForm form;
  Array qkv, sinks;
  Past past;
  Array keys, values, y;

  static constexpr std::string_view kName = "cached_attention";
  Arrays reads() const { return {&qkv, &sinks, &past.filled, &keys, &values}; }
  Arrays writes() const { return {&keys, &values, &y}; }
  Cost cost() const;  // of the keys that are seen, and of the cache what is filled and in a window
};

// Over whole sequences, for training: no cache.
//   stats: [B, H, T, 2], accumulator's: m and L of each query, which the backward needs
struct CausalAttention {
  AttentionForm form;
  Array qkv, sinks, y, stats;

  static constexpr std::string_view kName = "causal_attention";
  Arrays reads() const { return {&qkv, &sinks}; }
  Arrays writes() const { return {&y, &stats}; }
  Cost cost() const;  // of the keys that are seen
};

// Its gradient; the probabilities are recomputed from the stats that the forward left. With
// Δ = dy·y and z = scale q·k, or what the cap makes of it:
//   dz_j = p_j (d_j dy·v_j - Δ),   d(q·k_j) = scale dz_j (1 - (u_j / c)²), or scale dz_j without c
//   dsinks[h] += Σ over b, t of -exp(sink - a m - L) Δ
// Keys and values that several query heads read get the sum of their gradients.
//   dy: [B, T, H D]   ->   dqkv: like qkv   dsinks: [H], accumulator's, present where sinks are
// source: Dao et al. 2022, section 3.1 and appendix B.2 (the row sums Σ p dp as dy y)
struct CausalAttentionBackward {
  AttentionForm form;
  Array qkv, sinks, y, stats, dy, dqkv, dsinks;

  static constexpr std::string_view kName = "causal_attention_backward";
  Arrays reads() const { return {&qkv, &sinks, &y, &stats, &dy, &dsinks}; }
  Arrays writes() const { return {&dqkv, &dsinks}; }
  Cost cost() const;  // of the four products that are gradients, of the keys that are seen
};

// D, from the width of qkv.
inline int64_t head_size(const AttentionForm& form, const Array& qkv) {
  return qkv.shape()[-1] / (form.heads + 2 * form.kv_heads);
}

// What q·k is multiplied with.
inline double scale_of(const AttentionForm& form, int64_t D) {
  return form.scale > 0 ? form.scale : 1 / std::sqrt(static_cast<double>(D));
}

}  // namespace op

namespace untyped {
Array cached_attention(Rank& rank, const AttentionForm& form, const Array& qkv, const Array& sinks,
                       const op::Past& past, const Array& keys, const Array& values);
struct Attended {
  Array y, stats;
};
Attended causal_attention(Rank& rank, const AttentionForm& form, const Array& qkv,
                          const Array& sinks);
Array causal_attention_backward(Rank& rank, const AttentionForm& form, const Array& dy,
                                const Array& qkv, const Array& sinks, const Attended& done,
                                const Array& dsinks);
}  // namespace untyped

template <class P>
struct Attended {
  Tensor<P> y;      // [B, T, H D]
  Tensor<P> stats;  // [B, H, T, 2], which the backward needs
};
// Causal attention of this rank's heads over whole sequences, for training.
//   qkv: [B, T, (H + 2 K) D]   sinks: [H], those of this rank's heads, or absent   ->   [B, T, H D]
template <class P, class S = P>
Attended<typename AttentionRule<P, S>::type> causal_attention(const AttentionForm& form,
                                                              const Tensor<P>& qkv,
                                                              const Tensor<S>& sinks = {}) {
  Rank& rank = qkv.rank();
  untyped::Attended done = untyped::causal_attention(rank, form, qkv.array(), sinks.array());
  return {assume_placement<P>(rank, done.y), assume_placement<P>(rank, done.stats)};
}
// dy: [B, T, H D]   ->   dqkv: [B, T, (H + 2 K) D];   dsinks: [H], where there are sinks, is added
// to
template <class DY, class P, class S = P>
Grad<P> causal_attention_backward(const AttentionForm& form, const Tensor<DY>& dy,
                                  const Tensor<P>& qkv, const Attended<P>& done,
                                  const Tensor<S>& sinks = {}, const Grad<S>& dsinks = {}) {
  (void)GradientOf<DY, typename AttentionRule<P, S>::type>{};
  Rank& rank = qkv.rank();
  return assume_placement<Dual<P>>(rank, untyped::causal_attention_backward(
                                             rank, form, dy.array(), qkv.array(), sinks.array(),
                                             {done.y.array(), done.stats.array()}, dsinks.array()));
}

// The same for generation, from a cache. keys and values: [B, K, S, D], whose first past.filled[b]
// positions are filled; the new ones are stored behind them.
//   qkv: [B, T, (H + 2 K) D]   sinks: [H] or absent   ->   [B, T, H D]
template <class P, class S = P>
Tensor<typename AttentionRule<P, S>::type> cached_attention(const AttentionForm& form,
                                                            const Tensor<P>& qkv, const Past& past,
                                                            const Tensor<P>& keys,
                                                            const Tensor<P>& values,
                                                            const Tensor<S>& sinks = {}) {
  Rank& rank = qkv.rank();
  return assume_placement<P>(
      rank, untyped::cached_attention(rank, form, qkv.array(), sinks.array(), past.arrays(),
                                      keys.array(), values.array()));
}

}  // namespace tplab
