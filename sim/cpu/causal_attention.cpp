// Causal attention over whole sequences on the CPU, and its gradient, for training.
//
// A task is one head of one sequence, in blocks of kBlock queries. The keys before a block are seen
// by all of its queries; those inside it by a triangle, which is cut into strips of kStrip:
// products run to a strip's end, where the probabilities past a query's own position are zeros. So
// NaN may reach up to kStrip - 1 positions before its own, which the cache of cached_attention.cpp
// must not do.
#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/cpu/cpu_device.h"
#include "sim/cpu/dot.h"
#include "sim/cpu/dropout.h"
#include "sim/cpu/product.h"
#include "sim/cpu/tasks.h"
#include "sim/cpu/transpose.h"
#include "sim/cpu/views.h"

namespace tplab {

namespace cpu {
namespace {

// What attention and its gradient read.
template <class Real>
struct CausalAttention {
  const Real* qkv;          // [B, T, 3 H D]
  const DropoutMask* mask;  // may be null
  int64_t B, T, H, D;
};
template <class Real>
struct AttentionGradient {
  const Real *y, *log_sums;  // of the forward pass
  const Real* dy;            // [B, T, H D]
  Real* dqkv;                // [B, T, 3 H D]
};

constexpr int64_t kBlock = 64, kStrip = 16;

// The length of a row of scores: whole strips, and not a multiple of 4 KiB, which would let all
// rows share a few sets of the cache.
int64_t padded(int64_t T) {
  const int64_t strips = (T + kStrip - 1) / kStrip;
  return (strips | 1) * kStrip;
}

// What a lane works in.
template <class Real>
struct Scratch {
  Real *keys, *values;                 // [D, padded T], transposed
  Real *scores, *gradients, *factors;  // [kBlock, padded T] twice, [padded T]
};
template <class Real>
Scratch<Real> scratch_of(Real* from, int64_t T, int64_t D) {
  const int64_t row = padded(T);
  return {.keys = from,
          .values = from + D * row,
          .scores = from + 2 * D * row,
          .gradients = from + (2 * D + kBlock) * row,
          .factors = from + (2 * D + 2 * kBlock) * row};
}

// One head of one sequence. q, k and v: [T, D], rows `stride` numbers apart; those of y are `width`
// apart, those of scores `row`.
template <class Real>
struct Head {
  const Real *q, *k, *v;
  int64_t T, D, stride, width, row;
  Real scale;
  const DropoutMask* mask;
  int64_t first_number;  // of its dropout mask
};

template <class Real>
Head<Real> head_of(const CausalAttention<Real>& a, int64_t b, int64_t h) {
  const int64_t width = a.H * a.D;
  const Real* const q = a.qkv + b * a.T * 3 * width + h * a.D;
  int64_t first_number = 0;
  if (a.mask) {
    const int64_t head =
        (a.mask->first_sequence + b) * a.mask->whole_heads + a.mask->first_head + h;
    first_number = head * a.mask->whole_length * a.mask->whole_length;
  }
  return {.q = q,
          .k = q + width,
          .v = q + 2 * width,
          .T = a.T,
          .D = a.D,
          .stride = 3 * width,
          .width = width,
          .row = padded(a.T),
          .scale = static_cast<Real>(1 / std::sqrt(static_cast<double>(a.D))),
          .mask = a.mask,
          .first_number = first_number};
}

// to[d, t] = from[t, d], zeros past T.
template <class Real>
void transpose_head(const Head<Real>& head, const Real* from, Real* to) {
  transpose(from, head.stride, head.D, head.T, to, head.row);
  for (int64_t d = 0; d < head.D; ++d) {
    std::fill(to + d * head.row + head.T, to + (d + 1) * head.row, Real(0));
  }
}

// Calls f(first query, how many, end of the keys they see) for a block's strips.
template <class F>
void for_strips(int64_t begin, int64_t end, F f) {
  for (int64_t t = begin; t < end; t += kStrip) f(t, std::min(kStrip, end - t), t + kStrip);
}

// out[t - begin, s] = left[t] · right[s] for the block's queries t and the keys s that they see, up
// to the ends of strips.   left: [T, D], rows left_stride apart   right: transposed
template <class Real>
void products_of_block(const Head<Real>& head, const Real* left, int64_t left_stride,
                       const Real* right, int64_t begin, int64_t end, Real* out) {
  Product<Real> p{.a = left + begin * left_stride,
                  .a_row = left_stride,
                  .a_depth = 1,
                  .b = right,
                  .b_depth = head.row,
                  .b_col = 1,
                  .c = out,
                  .c_row = head.row,
                  .rows = end - begin,
                  .cols = begin,
                  .depth = head.D,
                  .add = false};
  if (begin > 0) multiply(p);
  for_strips(begin, end, [&](int64_t t, int64_t rows, int64_t seen) {
    p.a = left + t * left_stride;
    p.b = right + begin;
    p.c = out + (t - begin) * head.row + begin;
    p.rows = rows;
    p.cols = seen - begin;
    multiply(p);
  });
}

// y[t] = Σ over s of weights[t - begin, s] rows[s], for the block's queries.
template <class Real>
void weigh_rows(const Head<Real>& head, const Real* weights, const Real* rows, int64_t begin,
                int64_t end, Real* y, int64_t y_stride) {
  for_strips(begin, end, [&](int64_t t, int64_t count, int64_t seen) {
    multiply<Real>({.a = weights + (t - begin) * head.row,
                    .a_row = head.row,
                    .a_depth = 1,
                    .b = rows,
                    .b_depth = head.stride,
                    .b_col = 1,
                    .c = y + t * y_stride,
                    .c_row = y_stride,
                    .rows = count,
                    .cols = head.D,
                    .depth = std::min(seen, head.T),
                    .add = false});
  });
}

// y[s] += Σ over the block's queries t of weights[t - begin, s] rows[t], for the keys s that they
// see; the keys of the block itself are seen by it first: y[s] is overwritten.
template <class Real>
void weigh_columns(const Head<Real>& head, const Real* weights, const Real* rows,
                   int64_t row_stride, int64_t begin, int64_t end, Real* y) {
  Product<Real> p{.a = weights,
                  .a_row = 1,
                  .a_depth = head.row,
                  .b = rows + begin * row_stride,
                  .b_depth = row_stride,
                  .b_col = 1,
                  .c = y,
                  .c_row = head.stride,
                  .rows = begin,
                  .cols = head.D,
                  .depth = end - begin,
                  .add = true};
  if (begin > 0) multiply(p);
  for_strips(begin, end, [&](int64_t s, int64_t count, int64_t) {
    p.a = weights + (s - begin) * head.row + s;
    p.b = rows + s * row_stride;
    p.c = y + s * head.stride;
    p.rows = count;
    p.depth = end - s;
    p.add = false;
    multiply(p);
  });
}

// The first `count` numbers of x, zeros behind them.
template <class Real>
Packet<Real> first_of(const Packet<Real>& x, int64_t count, Real rest = Real(0)) {
  using namespace Eigen::internal;
  const Packet<Real> places = plset<Packet<Real>>(Real(0));
  return pselect(pcmp_lt(places, all(static_cast<Real>(count))), x, all(rest));
}

// x[s] = f(x[s], s) for s <= t, a register at a time, zeros up to the end of t's strip. Returns the
// sum over s.
template <class Real, class F>
Real map_seen(Real* x, int64_t t, F f) {
  const int64_t n = t + 1, end = (t / kStrip + 1) * kStrip;
  Packet<Real> sum = all(Real(0));
  int64_t s = 0;
  for (; s + kWidth<Real> <= n; s += kWidth<Real>) {
    const Packet<Real> y = f(load(x + s), s);
    store(x + s, y);
    sum = Eigen::internal::padd(sum, y);
  }
  for (; s < end; s += kWidth<Real>) {
    const Packet<Real> y = first_of<Real>(f(load(x + s), s), n - s);
    store(x + s, y);
    sum = Eigen::internal::padd(sum, y);
  }
  return Eigen::internal::predux(sum);
}

template <class Real>
Real largest_seen(const Real* x, int64_t t) {
  using Eigen::internal::pmax;
  const Real least = std::numeric_limits<Real>::lowest();
  Packet<Real> most = all(least);
  int64_t s = 0;
  for (; s + kWidth<Real> <= t + 1; s += kWidth<Real>) most = pmax(most, load(x + s));
  if (s < t + 1) most = pmax(most, first_of<Real>(load(x + s), t + 1 - s, least));
  return Eigen::internal::predux_max(most);
}

// x[s] becomes exp((x[s] - the largest) scale + shift), whose exponent is 0 at the largest however
// large it is (a product and a sum apart would leave their rounding there). Returns the sum over s.
// Inlined, so that exp's constants stay in registers from row to row.
template <class Real>
[[gnu::always_inline]] inline Real softmax_terms(Real* x, int64_t t, Real scale, Real shift) {
  const Packet<Real> largest = all(largest_seen(x, t)), scales = all(scale), shifts = all(shift);
  return map_seen(x, t, [&](const auto& score, int64_t) {
    return exp(fma(Eigen::internal::psub(score, largest), scales, shifts));
  });
}

template <class Real>
void dropout_row(const Head<Real>& head, int64_t t, Real* factors) {
  dropout_factors(*head.mask, head.first_number + t * head.mask->whole_length, t + 1, factors);
}

// Each lane needs room for this many numbers, in the backward pass too.
int64_t causal_attention_scratch_count(int64_t T, int64_t D) {
  return (2 * D + 2 * kBlock + 1) * padded(T);
}

// all_y: [B, T, H D]   log_sums: [B, H, T]   scratch: of all lanes
template <class Real>
void causal_attention(Crew& crew, const CausalAttention<Real>& a, Real* all_y, Real* log_sums,
                      Real* scratch) {
  using Eigen::internal::plog;
  for_each_task(crew, a.B * a.H, [&](int64_t i, int64_t lane) {
    const Head<Real> head = head_of(a, i / a.H, i % a.H);
    const Scratch<Real> mine =
        scratch_of(scratch + lane * causal_attention_scratch_count(a.T, a.D), a.T, a.D);
    Real* const y = all_y + i / a.H * a.T * head.width + i % a.H * a.D;
    transpose_head(head, head.k, mine.keys);
    for (int64_t begin = 0; begin < a.T; begin += kBlock) {
      const int64_t end = std::min(begin + kBlock, a.T);
      products_of_block(head, head.q, head.stride, mine.keys, begin, end, mine.scores);
      Real sums[kBlock];
      for (int64_t t = begin; t < end; ++t) {
        Real* const p = mine.scores + (t - begin) * head.row;
        sums[t - begin] = softmax_terms(p, t, head.scale, Real(0));
        if (!head.mask) continue;
        dropout_row(head, t, mine.factors);
        Row<Real>(p, t + 1) *= Row<Real>(mine.factors, t + 1);
      }
      map_packets(sums, log_sums + i * a.T + begin, end - begin,
                  [](const auto& sum) { return plog(sum); });
      weigh_rows(head, mine.scores, head.v, begin, end, y, head.width);
      for (int64_t t = begin; t < end; ++t) {
        Row<Real>(y + t * head.width, a.D) *= Real(1) / sums[t - begin];
      }
    }
  });
}

template <class Real>
void causal_attention_backward(Crew& crew, const CausalAttention<Real>& a,
                               const AttentionGradient<Real>& g, Real* scratch) {
  using namespace Eigen::internal;
  for_each_task(crew, a.B * a.H, [&](int64_t i, int64_t lane) {
    const Head<Real> head = head_of(a, i / a.H, i % a.H);
    const Scratch<Real> mine =
        scratch_of(scratch + lane * causal_attention_scratch_count(a.T, a.D), a.T, a.D);
    const int64_t at = i / a.H * a.T * head.width + i % a.H * a.D;
    const Real *const y = g.y + at, *const dy = g.dy + at;
    Real* const dq = g.dqkv + (head.q - a.qkv);
    Real *const dk = dq + head.width, *const dv = dk + head.width;
    transpose_head(head, head.k, mine.keys);
    transpose_head(head, head.v, mine.values);
    for (int64_t begin = 0; begin < a.T; begin += kBlock) {
      const int64_t end = std::min(begin + kBlock, a.T);
      products_of_block(head, head.q, head.stride, mine.keys, begin, end, mine.scores);
      products_of_block(head, dy, head.width, mine.values, begin, end, mine.gradients);
      for (int64_t t = begin; t < end; ++t) {
        Real* const p = mine.scores + (t - begin) * head.row;      // becomes p factors
        Real* const ds = mine.gradients + (t - begin) * head.row;  // holds dp without factors
        Real dy_y;
        dot<Real, 1>(dy + t * head.width, 0, y + t * head.width, a.D, &dy_y, 0);
        const Packet<Real> delta = all(-dy_y), scale = all(head.scale);
        softmax_terms(p, t, head.scale, -g.log_sums[i * a.T + t]);
        const auto gradient = [&](const auto& dp, int64_t s) {
          return pmul(pmul(load(p + s), scale), padd(dp, delta));
        };
        if (head.mask) {
          dropout_row(head, t, mine.factors);
          map_seen(ds, t, [&](const auto& dp, int64_t s) {
            return gradient(pmul(dp, load(mine.factors + s)), s);
          });
          Row<Real>(p, t + 1) *= Row<Real>(mine.factors, t + 1);
        } else {
          map_seen(ds, t, gradient);
        }
      }
      weigh_rows(head, mine.gradients, head.k, begin, end, dq, head.stride);
      weigh_columns(head, mine.gradients, head.q, head.stride, begin, end, dk);
      weigh_columns(head, mine.scores, dy, head.width, begin, end, dv);
    }
  });
}

template <class Real>
CausalAttention<Real> attention_of(const Array& qkv, int64_t heads,
                                   const std::optional<DropoutMask>& mask) {
  return {.qkv = qkv.as<Real>(),
          .mask = mask ? &*mask : nullptr,
          .B = qkv.shape()[0],
          .T = qkv.shape()[1],
          .H = heads,
          .D = qkv.shape()[2] / (3 * heads)};
}

}  // namespace
}  // namespace cpu

Array CpuDevice::attention_scratch(DType dtype, int64_t T, int64_t D) {
  return allocate(dtype, Shape{crew_.lanes(), cpu::causal_attention_scratch_count(T, D)});
}

void CpuDevice::compute(const op::CausalAttention& o) {
  dispatch_computed(o.qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const auto a = cpu::attention_of<Real>(o.qkv, o.heads, o.mask);
    const Array scratch = attention_scratch(o.qkv.dtype(), a.T, a.D);
    cpu::causal_attention(crew_, a, o.y.as<Real>(), o.log_sums.as<Real>(), scratch.as<Real>());
  });
}

void CpuDevice::compute(const op::CausalAttentionBackward& o) {
  dispatch_computed(o.qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const auto a = cpu::attention_of<Real>(o.qkv, o.heads, o.mask);
    const cpu::AttentionGradient<Real> gradient{.y = o.y.as<Real>(),
                                                .log_sums = o.log_sums.as<Real>(),
                                                .dy = o.dy.as<Real>(),
                                                .dqkv = o.dqkv.as<Real>()};
    const Array scratch = attention_scratch(o.qkv.dtype(), a.T, a.D);
    cpu::causal_attention_backward(crew_, a, gradient, scratch.as<Real>());
  });
}

}  // namespace tplab
