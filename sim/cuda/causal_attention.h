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

// On tensor cores. REQUIRES: packed rows, D at most kMostOnTensorCores.
void attend_on_tensor_cores(void* stream, const Attend<bf16>& a);
// Of any dtype, size and alignment, without tensor cores.
template <class Real>
void attend_plainly(void* stream, const Attend<Real>& a);
// By whichever fits.
template <class Real>
void attend(void* stream, const Attend<Real>& a) {
  if constexpr (std::is_same_v<Real, bf16>) {
    if (a.shape.D <= kMostOnTensorCores && is_packed(a.q) && is_packed(a.k) && is_packed(a.v) &&
        is_packed(a.y))
      return attend_on_tensor_cores(stream, a);
  }
  attend_plainly(stream, a);
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
