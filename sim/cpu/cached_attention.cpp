// Causal attention over a cache on the CPU: blocks of queries for prefill, a stream of keys and
// values for decode.
#include <algorithm>
#include <cmath>

#include "sim/cpu/cpu_device.h"
#include "sim/cpu/dot.h"
#include "sim/cpu/tasks.h"
#include "sim/cpu/views.h"

namespace tplab {

namespace cpu {
namespace {

template <class Real>
struct Attention {
  const AttentionForm& form;
  const Real *qkv, *sinks;  // [B, T, (H + 2 K) D], [H] or null
  const int32_t* filled;    // [B]: positions in the cache; null: none
  Real *keys, *values;      // [B, K, S, D]
  Real* y;                  // [B, T, H D]
  int64_t B, T, H, K, D, S, most_filled;

  int64_t width() const { return (H + 2 * K) * D; }
  int64_t past(int64_t b) const { return filled ? filled[b] : 0; }
};

// Queries that share one pass over the keys. Their scores, [kBlock, past + T], should fit L2.
constexpr int64_t kBlock = 64;
constexpr int64_t kFewQueries = 4;  // up to here one query at a time is as fast

// One head of one sequence.
template <class Real>
struct Head {
  const Real* q;              // [T, D], rows q_stride apart
  Real* y;                    // [T, D], rows y_stride apart
  const Real *keys, *values;  // [S, D]
  const Real* sink;           // may be null
  int64_t D, q_stride, y_stride, past, window;
  Real scale, softcap;

  // The first key that a query at this position sees.
  int64_t first_seen(int64_t position) const {
    return window > 0 ? std::max<int64_t>(0, position - window + 1) : 0;
  }
};

template <class Real>
Head<Real> head_of(const Attention<Real>& a, int64_t b, int64_t h) {
  const int64_t cache = (b * a.K + h / (a.H / a.K)) * a.S * a.D;
  return {.q = a.qkv + b * a.T * a.width() + h * a.D,
          .y = a.y + b * a.T * a.H * a.D + h * a.D,
          .keys = a.keys + cache,
          .values = a.values + cache,
          .sink = a.sinks ? a.sinks + h : nullptr,
          .D = a.D,
          .q_stride = a.width(),
          .y_stride = a.H * a.D,
          .past = a.past(b),
          .window = a.form.window,
          .scale = static_cast<Real>(op::scale_of(a.form, a.D)),
          .softcap = static_cast<Real>(a.form.softcap)};
}

template <class Real>
void store_new_keys_and_values(Crew& crew, const Attention<Real>& a) {
  const int64_t grain = grain_of(2 * a.K * a.D * kBytes<Real>);
  crew.parallel_for(a.B * a.T, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = i / a.T, t = i % a.T;
      const Real* const k = a.qkv + i * a.width() + a.H * a.D;
      for (int64_t h = 0; h < a.K; ++h) {
        const int64_t to = ((b * a.K + h) * a.S + a.past(b) + t) * a.D;
        std::copy_n(k + h * a.D, a.D, a.keys + to);
        std::copy_n(k + (a.K + h) * a.D, a.D, a.values + to);
      }
    }
  });
}

// scores[i], of n keys, become exp((scores[i] - their maximum) scale), after the soft cap where
// there is one. Returns their sum, with the sink's term.
template <class Real>
Real softmax_terms(const Head<Real>& head, Real* scores, int64_t n) {
  Real scale = head.scale;
  if (head.softcap > 0) {
    map_packets(scores, scores, n, [&](const auto& score) {
      return soft_cap<Real>(Eigen::internal::pmul(score, all(head.scale)), head.softcap,
                            Real(1) / head.softcap);
    });
    scale = 1;
  }
  const Real largest = Eigen::Map<Eigen::Array<Real, Eigen::Dynamic, 1>>(scores, n).maxCoeff();
  const auto sum = static_cast<Real>(exp_sum(scores, n, largest, scale, scores));
  return head.sink ? sum + std::exp(*head.sink - scale * largest) : sum;
}

// y[c] = (y[c] + sum over j of p[j] v[j, c]) / total for Width registers of columns c.
template <class Real, int Width>
void weighted_columns(const Real* p, int64_t n, const Real* v, int64_t D, Real total, Real* y) {
  Packet<Real> sums[Width];
  for (int c = 0; c < Width; ++c) sums[c] = load(y + c * kWidth<Real>);
  for (int64_t j = 0; j < n; ++j) {
    const Packet<Real> weight = all(p[j]);
    for (int c = 0; c < Width; ++c) {
      sums[c] = fma(weight, load(v + j * D + c * kWidth<Real>), sums[c]);
    }
  }
  for (int c = 0; c < Width; ++c) {
    store(y + c * kWidth<Real>, Eigen::internal::pdiv(sums[c], all(total)));
  }
}

// The same for all D columns, v: [n, D].
template <class Real>
void finish_row(const Real* p, int64_t n, const Real* v, int64_t D, Real total, Real* y) {
  constexpr int64_t kWide = 4 * kWidth<Real>;
  int64_t c = 0;
  for (; c + kWide <= D; c += kWide) weighted_columns<Real, 4>(p, n, v + c, D, total, y + c);
  for (; c + kWidth<Real> <= D; c += kWidth<Real>) {
    weighted_columns<Real, 1>(p, n, v + c, D, total, y + c);
  }
  for (; c < D; ++c) {
    for (int64_t j = 0; j < n; ++j) y[c] += p[j] * v[j * D + c];
    y[c] /= total;
  }
}

// One query: reads the keys once, then the values once.
template <class Real>
void attend_one(const Head<Real>& head, int64_t t, Real* scores) {
  const int64_t D = head.D, first = head.first_seen(head.past + t), n = head.past + t + 1 - first;
  const Real *const q = head.q + t * head.q_stride, *const keys = head.keys + first * D;
  for (int64_t j = 0; j < n; ++j) dot<Real, 1>(q, 0, keys + j * D, D, scores + j, 0);
  const Real total = softmax_terms(head, scores, n);
  Real* const y = head.y + t * head.y_stride;
  std::fill_n(y, D, Real(0));
  finish_row(scores, n, head.values + first * D, D, total, y);
}

// Queries [begin, end). Keys and values before the block are seen by all of its queries: two matrix
// products. Those inside it by a triangle: row by row, so that what comes later (NaN, say) cannot
// touch an earlier position. With a window they begin at the first key that the first query sees,
// and what later queries do not see any more has no weight.
template <class Real>
void attend_block(const Head<Real>& head, int64_t begin, int64_t end, Real* scratch) {
  const int64_t D = head.D, low = head.first_seen(head.past + begin);
  const int64_t rows = end - begin, before = head.past + begin - low, upto = head.past + end - low;
  const Real *const first_key = head.keys + low * D, *const first_value = head.values + low * D;
  const ConstView<Real> q(head.q + begin * head.q_stride, rows, D,
                          Eigen::OuterStride<>(head.q_stride));
  const ConstView<Real> keys(first_key, upto, D, Eigen::OuterStride<>(D));
  const ConstView<Real> values(first_value, before, D, Eigen::OuterStride<>(D));
  View<Real> scores(scratch, rows, upto, Eigen::OuterStride<>(upto));
  View<Real> y(head.y + begin * head.y_stride, rows, D, Eigen::OuterStride<>(head.y_stride));

  scores.noalias() = q * keys.transpose();
  Real totals[kBlock];
  for (int64_t i = 0; i < rows; ++i) {
    Real* const row = scratch + i * upto;
    const int64_t unseen = head.first_seen(head.past + begin + i) - low;
    std::fill_n(row, unseen, Real(0));
    totals[i] = softmax_terms(head, row + unseen, before + i + 1 - unseen);
  }
  y.setZero();
  if (before > 0) y.noalias() += scores.leftCols(before) * values;
  for (int64_t i = 0; i < rows; ++i) {
    finish_row(scratch + i * upto + before, i + 1, first_value + before * D, D, totals[i],
               head.y + (begin + i) * head.y_stride);
  }
}

// Each lane needs room for this many scores.
template <class Real>
int64_t attention_scratch_count(const Attention<Real>& a) {
  return (a.T <= kFewQueries ? 1 : kBlock) * (a.most_filled + a.T);
}

// scratch: of all lanes.
template <class Real>
void cached_attention(Crew& crew, const Attention<Real>& a, Real* scratch) {
  store_new_keys_and_values(crew, a);
  const int64_t per_lane = attention_scratch_count(a), heads = a.B * a.H;
  const int64_t blocks = a.T <= kFewQueries ? 1 : (a.T + kBlock - 1) / kBlock;
  for_each_task(crew, heads * blocks, [&](int64_t task, int64_t lane) {
    Real* const mine = scratch + lane * per_lane;
    const int64_t i = task % heads, block = blocks - 1 - task / heads;  // the longest first
    const Head<Real> head = head_of(a, i / a.H, i % a.H);
    if (a.T <= kFewQueries) {
      for (int64_t t = 0; t < a.T; ++t) attend_one(head, t, mine);
    } else {
      attend_block(head, block * kBlock, std::min((block + 1) * kBlock, a.T), mine);
    }
  });
}

}  // namespace
}  // namespace cpu

void CpuDevice::compute(const op::CachedAttention& o) {
  dispatch_computed(o.qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const cpu::Attention<Real> a{.form = o.form,
                                 .qkv = o.qkv.as<Real>(),
                                 .sinks = cpu::or_null<Real>(o.sinks),
                                 .filled = cpu::or_null<int32_t>(o.past.filled),
                                 .keys = o.keys.as<Real>(),
                                 .values = o.values.as<Real>(),
                                 .y = o.y.as<Real>(),
                                 .B = o.qkv.shape()[0],
                                 .T = o.qkv.shape()[1],
                                 .H = o.form.heads,
                                 .K = o.form.kv_heads,
                                 .D = o.keys.shape()[3],
                                 .S = o.keys.shape()[2],
                                 .most_filled = o.past.at_most};
    const Array scratch =
        allocate(o.qkv.dtype(), Shape{crew_.lanes(), cpu::attention_scratch_count(a)});
    cpu::cached_attention(crew_, a, scratch.as<Real>());
  });
}

}  // namespace tplab
