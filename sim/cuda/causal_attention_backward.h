// The gradient of causal attention.
#pragma once

#include "sim/cuda/attention.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

// What the gradient's kernels know of each query: three planes of kRowBlock numbers for each block
// of queries of a head, in the order of heads [B, H]. Queries past the last have p = 0.
constexpr int kRowBlock = 64;
enum class RowPlane { largest, log_sum, dy_y };  // log_sum: in base 2 for bf16

// How many numbers that is of a head.
inline int64_t row_numbers(int64_t T) { return (T + kRowBlock - 1) / kRowBlock * 3 * kRowBlock; }
// The place of a query's number.
__device__ __forceinline__ int64_t place_of_row(int64_t head, int T, int query, RowPlane plane) {
  const int blocks = (T + kRowBlock - 1) / kRowBlock;
  return ((head * blocks + query / kRowBlock) * 3 + static_cast<int>(plane)) * kRowBlock +
         query % kRowBlock;
}

template <class Real>
struct AttendBackward {
  AttentionShape<Real> shape;
  HeadRows<const Real> q, k, v, y, dy;
  HeadRows<Real> dq, dk, dv;
  const Computed<Real>* stats;
  Computed<Real>* dsinks;  // null: no sinks
  Computed<Real>* rows;    // for the kernels: B H row_numbers(T), at a multiple of 16 bytes
  bool drops;
};
void attend_backward(void* stream, const AttendBackward<bf16>& a);
void attend_backward(void* stream, const AttendBackward<float>& a);
void attend_backward(void* stream, const AttendBackward<double>& a);

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
