// Attention as its kernels take it: pointers and strides, and which keys a query sees.
#pragma once

#include <algorithm>
#include <cstdint>

#include "sim/cuda/dropped_pairs.h"
#include "sim/cuda/vectors.h"
#include "sim/ops/attention.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

// Rows of D numbers, one a position of a head of a sequence. Strides in numbers.
template <class Real>
struct HeadRows {
  Real* first;
  int64_t of_sequence, of_head, of_position;

  __device__ __forceinline__ Real* at(int64_t b, int64_t h, int64_t position) const {
    return first + b * of_sequence + h * of_head + position * of_position;
  }
};

// What all kernels of an attention are told.
template <class Real>
struct AttentionShape {
  int B, T, H, group, D;          // group: H / K, the query heads that read one key and value head
  unsigned reach;                 // how many keys a query sees, with its own: the window, or all
  const int32_t* filled;          // [B], before the first query of a sequence; null: nothing
  Computed<Real> scale, softcap;  // softcap 0: none
  const Real* sinks;              // [H] or null
  DroppedPairs dropped;           // of a kernel that drops

  __device__ __forceinline__ int past(int b) const { return filled ? filled[b] : 0; }
  // Whether a query sees a key `back` positions before its own.
  __device__ __forceinline__ bool sees(int back) const {
    return static_cast<unsigned>(back) < reach;
  }
  // The first key that a query, or one behind it, sees.
  __device__ __forceinline__ int first_seen(int query) const {
    return static_cast<unsigned>(query) < reach ? 0 : query - static_cast<int>(reach) + 1;
  }
};

// Whether a query sees, among keys first .. last - 1, a value that is not finite. `values`: of a
// column, by key.
template <class Real>
__device__ bool sees_unfinite(const AttentionShape<Real>& shape, int query, int first, int last,
                              const bf16* values, int64_t of_position) {
  for (int key = first; key < last; ++key) {
    const float value = low_of(values[key * of_position].bits);
    if (shape.sees(query - key) && !(value - value == 0)) return true;
  }
  return false;
}

constexpr unsigned kUnlimited = 1u << 31;  // a reach beyond every sequence

template <class Real>
AttentionShape<Real> attention_shape(const AttentionForm& form, const Array& qkv,
                                     const Array& sinks) {
  const int64_t D = op::head_size(form, qkv);
  return {
      .B = static_cast<int>(qkv.shape()[0]),
      .T = static_cast<int>(qkv.shape()[1]),
      .H = static_cast<int>(form.heads),
      .group = static_cast<int>(form.heads / form.kv_heads),
      .D = static_cast<int>(D),
      .reach = form.window > 0 ? static_cast<unsigned>(std::min<int64_t>(form.window, kUnlimited))
                               : kUnlimited,
      .filled = nullptr,
      .scale = static_cast<Computed<Real>>(op::scale_of(form, D)),
      .softcap = static_cast<Computed<Real>>(form.softcap),
      .sinks = sinks.present() ? sinks.as<Real>() : nullptr,
      .dropped = DroppedPairs(form.mask.value_or(DropoutMask{.stream = RandomStream(0, "none")}))};
}

// What the kernels of bf16 on tensor cores copy 16 bytes at a time; others are
// plain_attention.cu's.
template <class Real>
bool is_packed(const HeadRows<Real>& rows) {
  return (rows.of_sequence | rows.of_head | rows.of_position) % 8 == 0 &&
         reinterpret_cast<uintptr_t>(rows.first) % 16 == 0;
}
constexpr int kMostOnTensorCores = 256;  // numbers of a head

// Of the heads in an array [B, T, heads D], those from head `first` on.
template <class Real>
HeadRows<Real> rows_of_heads(Real* array, int64_t first, int64_t T, int64_t heads, int64_t D) {
  return {array + first * D, T * heads * D, D, heads * D};
}
template <class Real>
HeadRows<const Real> constant(const HeadRows<Real>& rows) {
  return {rows.first, rows.of_sequence, rows.of_head, rows.of_position};
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
