// One head of causal attention over whole sequences, which the forward pass and the gradient share.
//
// A task is one head of one sequence, in blocks of kBlock queries. The keys before a block are seen
// by all of its queries; those inside it by a triangle, which is cut into strips of kStrip:
// products run to a strip's end, where the probabilities past a query's own position are zeros. So
// NaN may reach up to kStrip - 1 positions before its own, which the cache of cached_attention.cpp
// must not do. With a window a block begins at the strip of the first key that its first query
// sees, and later queries have zeros there too.
#pragma once

#include <algorithm>
#include <limits>

#include "sim/cpu/dropout.h"
#include "sim/cpu/product.h"
#include "sim/cpu/transpose.h"
#include "sim/cpu/views.h"
#include "sim/ops/attention.h"

namespace tplab::cpu {

// What causal attention and its gradient read.
template <class Real>
struct CausalAttention {
  const AttentionForm& form;
  const Real *qkv, *sinks;  // [B, T, (H + 2 K) D], [H] or null
  int64_t B, T, H, K, D;
};
inline constexpr int64_t kBlock = 64, kStrip = 16;

// The length of a row of scores: whole strips, and not a multiple of 4 KiB, which would let all
// rows share a few sets of the cache.
inline int64_t padded(int64_t T) {
  const int64_t strips = (T + kStrip - 1) / kStrip;
  return (strips | 1) * kStrip;
}

// What a lane works in.
template <class Real>
struct Scratch {
  Real *keys, *values;         // [D, padded T], transposed
  Real *scores, *gradients;    // [kBlock, padded T]
  Real *factors, *cap_slopes;  // [padded T]
};
template <class Real>
Scratch<Real> scratch_of(Real* from, int64_t T, int64_t D) {
  const int64_t row = padded(T);
  return {.keys = from,
          .values = from + D * row,
          .scores = from + 2 * D * row,
          .gradients = from + (2 * D + kBlock) * row,
          .factors = from + (2 * D + 2 * kBlock) * row,
          .cap_slopes = from + (2 * D + 2 * kBlock + 1) * row};
}

// One head of one sequence. q, k and v: [T, D], rows `stride` numbers apart; those of y are `width`
// apart, those of scores `row`.
template <class Real>
struct Head {
  const Real *q, *k, *v, *sink;  // sink may be null
  int64_t T, D, stride, width, row, window;
  Real scale, softcap;
  const DropoutMask* mask;
  int64_t first_number;  // of its dropout mask

  // The first key that query t sees, and the beginning of its strip.
  int64_t first_seen(int64_t t) const {
    return window > 0 ? std::max<int64_t>(0, t - window + 1) : 0;
  }
  int64_t low(int64_t t) const { return first_seen(t) / kStrip * kStrip; }
};

template <class Real>
Head<Real> head_of(const CausalAttention<Real>& a, int64_t b, int64_t h) {
  const int64_t stride = (a.H + 2 * a.K) * a.D, kv_head = h / (a.H / a.K);
  const Real* const row = a.qkv + b * a.T * stride;
  const DropoutMask* const mask = a.form.mask ? &*a.form.mask : nullptr;
  int64_t first_number = 0;
  if (mask) {
    const int64_t head = (mask->first_sequence + b) * mask->whole_heads + mask->first_head + h;
    first_number = head * mask->whole_length * mask->whole_length;
  }
  return {.q = row + h * a.D,
          .k = row + (a.H + kv_head) * a.D,
          .v = row + (a.H + a.K + kv_head) * a.D,
          .sink = a.sinks ? a.sinks + h : nullptr,
          .T = a.T,
          .D = a.D,
          .stride = stride,
          .width = a.H * a.D,
          .row = padded(a.T),
          .window = a.form.window,
          .scale = static_cast<Real>(op::scale_of(a.form, a.D)),
          .softcap = static_cast<Real>(a.form.softcap),
          .mask = mask,
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
  const int64_t low = head.low(begin);
  Product<Real> p{.a = left + begin * left_stride,
                  .a_row = left_stride,
                  .a_depth = 1,
                  .b = right + low,
                  .b_depth = head.row,
                  .b_col = 1,
                  .c = out + low,
                  .c_row = head.row,
                  .rows = end - begin,
                  .cols = begin - low,
                  .depth = head.D,
                  .add = false};
  if (begin > low) multiply(p);
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
  const int64_t low = head.low(begin);
  for_strips(begin, end, [&](int64_t t, int64_t count, int64_t seen) {
    multiply<Real>({.a = weights + (t - begin) * head.row + low,
                    .a_row = head.row,
                    .a_depth = 1,
                    .b = rows + low * head.stride,
                    .b_depth = head.stride,
                    .b_col = 1,
                    .c = y + t * y_stride,
                    .c_row = y_stride,
                    .rows = count,
                    .cols = head.D,
                    .depth = std::min(seen, head.T) - low,
                    .add = false});
  });
}

// y[s] += Σ over the block's queries t of weights[t - begin, s] rows[t], for the keys s that they
// see; the keys of the block itself are seen by it first: y[s] is overwritten.
template <class Real>
void weigh_columns(const Head<Real>& head, const Real* weights, const Real* rows,
                   int64_t row_stride, int64_t begin, int64_t end, Real* y, int64_t y_stride) {
  const int64_t low = head.low(begin);
  Product<Real> p{.a = weights + low,
                  .a_row = 1,
                  .a_depth = head.row,
                  .b = rows + begin * row_stride,
                  .b_depth = row_stride,
                  .b_col = 1,
                  .c = y + low * y_stride,
                  .c_row = y_stride,
                  .rows = begin - low,
                  .cols = head.D,
                  .depth = end - begin,
                  .add = true};
  if (begin > low) multiply(p);
  for_strips(begin, end, [&](int64_t s, int64_t count, int64_t) {
    p.a = weights + (s - begin) * head.row + s;
    p.b = rows + s * row_stride;
    p.c = y + s * y_stride;
    p.rows = count;
    p.depth = end - s;
    p.add = false;
    multiply(p);
  });
}

// The keys that query t sees, `first` .. t, as registers: they begin at a multiple of a register's
// width, and `low` and `end` are those of the strips.
struct Seen {
  int64_t low, first, t, end;
};
template <class Real>
Seen seen_by(const Head<Real>& head, int64_t begin, int64_t t) {
  return {head.low(begin), head.first_seen(t), t, (t / kStrip + 1) * kStrip};
}

// The first `count` numbers of x, or all but those, and `rest` for the others.
template <class Real>
Packet<Real> first_of(const Packet<Real>& x, int64_t count, Real rest = Real(0)) {
  using namespace Eigen::internal;
  const Packet<Real> places = plset<Packet<Real>>(Real(0));
  return pselect(pcmp_lt(places, all(static_cast<Real>(count))), x, all(rest));
}
template <class Real>
Packet<Real> without_first(const Packet<Real>& x, int64_t count, Real rest = Real(0)) {
  using namespace Eigen::internal;
  const Packet<Real> places = plset<Packet<Real>>(Real(0));
  return pselect(pcmp_lt(places, all(static_cast<Real>(count))), all(rest), x);
}

// x[s] = f(x[s], s) for the keys that are seen, a register at a time, zeros before them and behind
// them up to the ends of strips. Returns the sum over s.
template <class Real, class F>
Real map_seen(Real* x, const Seen& seen, F f) {
  const int64_t n = seen.t + 1, end = seen.end;
  Packet<Real> sum = all(Real(0));
  int64_t s = seen.first / kWidth<Real> * kWidth<Real>;
  std::fill(x + seen.low, x + s, Real(0));
  if (s < seen.first) {
    const Packet<Real> y =
        first_of<Real>(without_first<Real>(f(load(x + s), s), seen.first - s), n - s);
    store(x + s, y);
    sum = y;
    s += kWidth<Real>;
  }
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
Real largest_seen(const Real* x, const Seen& seen) {
  using Eigen::internal::pmax;
  const Real least = std::numeric_limits<Real>::lowest();
  const int64_t n = seen.t + 1;
  Packet<Real> most = all(least);
  int64_t s = seen.first / kWidth<Real> * kWidth<Real>;
  if (s < seen.first) {
    const Packet<Real> x0 = without_first<Real>(load(x + s), seen.first - s, least);
    most = first_of<Real>(x0, n - s, least);
    s += kWidth<Real>;
  }
  for (; s + kWidth<Real> <= n; s += kWidth<Real>) most = pmax(most, load(x + s));
  if (s < n) most = pmax(most, first_of<Real>(load(x + s), n - s, least));
  return Eigen::internal::predux_max(most);
}

// x[s] becomes exp((x[s] - largest) scale + shift), whose exponent is 0 at the largest however
// large it is (a product and a sum apart would leave their rounding there). Returns the sum over s.
// Inlined, so that exp's constants stay in registers from row to row.
template <class Real>
[[gnu::always_inline]] inline Real softmax_terms(Real* x, const Seen& seen, Real largest,
                                                 Real scale, Real shift) {
  const Packet<Real> most = all(largest), scales = all(scale), shifts = all(shift);
  return map_seen(x, seen, [&](const auto& score, int64_t) {
    return exp(fma(Eigen::internal::psub(score, most), scales, shifts));
  });
}

// x[s] becomes u = cap tanh(scale x[s] / cap), and slopes[s], unless they are null, 1 - (u / cap)².
template <class Real>
void cap_scores(const Head<Real>& head, const Seen& seen, Real* x, Real* slopes) {
  const Real one_over = Real(1) / head.softcap;
  Real *const from = x + seen.low, *const slopes_from = slopes ? slopes + seen.low : nullptr;
  map_packets(from, from, seen.end - seen.low, [&](const auto& score) {
    return soft_cap<Real>(Eigen::internal::pmul(score, all(head.scale)), head.softcap, one_over);
  });
  if (!slopes) return;
  map_packets(from, slopes_from, seen.end - seen.low,
              [&](const auto& u) { return soft_cap_slope<Real>(u, one_over); });
}

template <class Real>
void dropout_row(const Head<Real>& head, int64_t t, Real* factors) {
  const int64_t first = head.first_seen(t);
  dropout_factors(*head.mask, head.first_number + t * head.mask->whole_length + first,
                  t + 1 - first, factors + first);
}
template <class Real>
void drop(const Seen& seen, const Real* factors, Real* p) {
  const int64_t n = seen.t + 1 - seen.first;
  Row<Real>(p + seen.first, n) *= ConstRow<Real>(factors + seen.first, n);
}

// Each lane needs room for this many numbers, in the backward pass too.
inline int64_t causal_attention_scratch_count(int64_t T, int64_t D) {
  return (2 * D + 2 * kBlock + 2) * padded(T);
}

}  // namespace tplab::cpu
