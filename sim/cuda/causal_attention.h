// The forward pass of attention for queries enough to fill tiles: whole sequences, and what is new
// behind a cache.
#pragma once

#include "sim/cuda/attention.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

// y and, unless null, stats: [B, H, T, 2], of op::CausalAttention. Query t of sequence b is at
// position past(b) + t; keys and values are rows from position 0 on.
template <class Real>
struct Attend {
  AttentionShape<Real> shape;
  HeadRows<const Real> q, k, v;
  HeadRows<Real> y;
  Computed<Real>* stats;
  bool drops;
};
void attend(void* stream, const Attend<bf16>& a);
void attend(void* stream, const Attend<float>& a);
void attend(void* stream, const Attend<double>& a);

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
