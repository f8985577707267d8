// The CPU's arithmetic of a training step, on plain pointers: formulas and shapes are those of
// ops/. Like kernels.h: the same bits whatever the number of lanes.
//
// Where a kernel needs scratch memory, a function says how many numbers (count them before the
// device allocates them; contents need not be set).
#pragma once

#include <cstdint>
#include <span>

#include "sim/device.h"
#include "sim/threads/crew.h"

namespace tplab::cpu {

template <class Real>
void sum_rows(Crew& crew, const Real* dy, int64_t rows, int64_t C, Real* db);
template <class Real>
void gelu_backward(Crew& crew, Gelu kind, const Real* x, const Real* dy, Real* dx, int64_t count);

template <class Real>
struct LayerNormBackward {
  const Real *x, *weight, *dy;
  Real *dx, *dweight, *dbias;  // dbias may be null
  int64_t rows, C;
  Real eps;
};
int64_t layer_norm_backward_scratch_count(int64_t rows, int64_t C);
template <class Real>
void layer_norm_backward(Crew& crew, const LayerNormBackward<Real>& a, Real* scratch);

// dtable: [table_rows, C]
template <class Real>
void embedding_backward(Crew& crew, std::span<const int32_t> ids, const Real* dy, int64_t first_row,
                        Real* dtable, int64_t table_rows, int64_t C);

// What attention and its gradient read.
template <class Real>
struct CausalAttention {
  const Real* qkv;          // [B, T, 3 H D]
  const DropoutMask* mask;  // may be null
  int64_t B, T, H, D;
};
// Each lane needs room for this many numbers, in the backward pass too; `scratch` is that for all
// lanes.
int64_t causal_attention_scratch_count(int64_t T, int64_t D);
// y: [B, T, H D]   log_sums: [B, H, T]
template <class Real>
void causal_attention(Crew& crew, const CausalAttention<Real>& a, Real* y, Real* log_sums,
                      Real* scratch);
template <class Real>
struct AttentionGradient {
  const Real *y, *log_sums;  // of the forward pass
  const Real* dy;            // [B, T, H D]
  Real* dqkv;                // [B, T, 3 H D]
};
template <class Real>
void causal_attention_backward(Crew& crew, const CausalAttention<Real>& a,
                               const AttentionGradient<Real>& g, Real* scratch);

// x, y: [B, T, C]
template <class Real>
void dropout(Crew& crew, const Real* x, const DropoutMask& mask, Real* y, int64_t B, int64_t T,
             int64_t C);

// The rows of a vocabulary's part that lies here: [rows, C], of which `cols` columns are real.
template <class Real>
struct Logits {
  Real* x;
  int64_t rows, C, cols;
};
template <class Real>
void row_max(Crew& crew, const Logits<const Real>& a, Real* out);
template <class Real>
void pick(const Logits<const Real>& a, std::span<const int32_t> ids, int64_t first, Real* out);
template <class Real>
void exp_rows(Crew& crew, const Logits<Real>& a, const Real* shift, Real* sums);
template <class Real>
void softmax_minus_onehot(Crew& crew, const Logits<Real>& a, const Real* sums,
                          std::span<const int32_t> ids, int64_t first, double scale);

template <class Real>
double sum_of_squares(Crew& crew, const Real* x, int64_t count);
template <class Real>
void adamw(Crew& crew, const AdamW& step, const Real* gradient, Real* m, Real* v, Real* parameter,
           int64_t count);

}  // namespace tplab::cpu
