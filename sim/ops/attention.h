// Attention: over a cache, and over whole sequences for training.
#pragma once

#include "sim/ops/operation.h"

namespace tplab::op {

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
};

// Causal attention over whole sequences, for training: no cache. With s the scores q kᵀ / √D of
// the positions up to t, m their largest and d the dropout factors (1 where there is no mask):
//   log_sums = log Σ exp(s - m),   y = (exp(s - m - log_sums) d) v
// The exponents are differences of scores, scaled: right for any finite scores, as decoding's.
//   qkv: [B, T, 3 H D], q then k then v   ->   y: [B, T, H D]   log_sums: [B, H, T]
struct CausalAttention {
  Array qkv;
  int64_t heads;
  std::optional<DropoutMask> mask;
  Array y, log_sums;

  static constexpr std::string_view kName = "causal_attention";
  Arrays reads() const { return {&qkv}; }
  Arrays writes() const { return {&y, &log_sums}; }
};

// Its gradient; the probabilities are recomputed from log_sums, which the forward left.
//   dy: [B, T, H D]   ->   dqkv: [B, T, 3 H D]
// source: Dao et al. 2022, appendix B.2 (the row sums Σ p dp as dy y)
struct CausalAttentionBackward {
  Array qkv;
  int64_t heads;
  std::optional<DropoutMask> mask;
  Array y, log_sums, dy, dqkv;

  static constexpr std::string_view kName = "causal_attention_backward";
  Arrays reads() const { return {&qkv, &y, &log_sums, &dy}; }
  Arrays writes() const { return {&dqkv}; }
};

}  // namespace tplab::op
