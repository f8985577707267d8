// The gradient of causal attention.
#pragma once

#include "sim/cuda/attention.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

// What the gradient's kernels tell one another of each query: kRowPlanes planes of kRowBlock
// numbers for each block of queries of a head, in the order of heads [B, H].
constexpr int kRowBlock = 64, kRowPlanes = 3;
inline int64_t row_numbers(int64_t T) {  // of a head
  return (T + kRowBlock - 1) / kRowBlock * kRowPlanes * kRowBlock;
}

template <class Real>
struct AttendBackward {
  AttentionShape<Real> shape;
  HeadRows<const Real> q, k, v, y, dy;
  HeadRows<Real> dq, dk, dv;
  const Computed<Real>* stats;
  Computed<Real>* dsinks;  // null: no sinks
  Computed<Real>* rows;    // B H row_numbers(T) to work in, at a multiple of 16 bytes
  bool drops;
};

// On tensor cores. REQUIRES: packed rows, D at most kMostOnTensorCores.
void attend_backward_on_tensor_cores(void* stream, const AttendBackward<bf16>& a);
// Of any dtype, size and alignment, without tensor cores.
template <class Real>
void attend_backward_plainly(void* stream, const AttendBackward<Real>& a);
// By whichever fits.
template <class Real>
void attend_backward(void* stream, const AttendBackward<Real>& a) {
  if constexpr (std::is_same_v<Real, bf16>) {
    const bool packed = is_packed(a.q) && is_packed(a.k) && is_packed(a.v) && is_packed(a.y) &&
                        is_packed(a.dy) && is_packed(a.dq) && is_packed(a.dk) && is_packed(a.dv);
    if (packed && a.shape.D <= kMostOnTensorCores)
      return attend_backward_on_tensor_cores(stream, a);
  }
  attend_backward_plainly(stream, a);
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
