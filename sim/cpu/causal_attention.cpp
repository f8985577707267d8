// Causal attention over whole sequences on the CPU, and its gradient, for training.
//
// A task is one head of one sequence (causal_head.h). Heads that share keys write their gradients
// of them apart, and these are then added up in the order of the heads.
#include <algorithm>
#include <cmath>

#include "sim/cpu/causal_head.h"
#include "sim/cpu/cpu_device.h"
#include "sim/cpu/dot.h"
#include "sim/cpu/tasks.h"

namespace tplab {

namespace cpu {
namespace {

template <class Real>
struct AttentionGradient {
  const Real *y, *stats;  // of the forward pass
  const Real* dy;         // [B, T, H D]
  Real* dqkv;             // [B, T, (H + 2 K) D]
  Real* shared;           // [B, H, 2, T, D], where heads share keys: their terms of dk and dv
  double* dsinks;         // [B, H], where there are sinks: each sequence's term
};

// log(exp(a) + exp(b)), where either may be infinite.
template <class Real>
Real log_of_both(Real a, Real b) {
  const Real most = std::max(a, b);
  return most + std::log1p(std::exp(std::min(a, b) - most));
}

// all_y: [B, T, H D]   stats: [B, H, T, 2]   scratch: of all lanes
template <class Real>
void causal_attention(Crew& crew, const CausalAttention<Real>& a, Real* all_y, Real* stats,
                      Real* scratch) {
  using Eigen::internal::plog;
  for_each_task(crew, a.B * a.H, [&](int64_t i, int64_t lane) {
    const Head<Real> head = head_of(a, i / a.H, i % a.H);
    const Scratch<Real> mine =
        scratch_of(scratch + lane * causal_attention_scratch_count(a.T, a.D), a.T, a.D);
    Real* const y = all_y + i / a.H * a.T * head.width + i % a.H * a.D;
    const Real scale = head.softcap > 0 ? Real(1) : head.scale;  // of what softmax sees
    transpose_head(head, head.k, mine.keys);
    for (int64_t begin = 0; begin < a.T; begin += kBlock) {
      const int64_t end = std::min(begin + kBlock, a.T);
      products_of_block(head, head.q, head.stride, mine.keys, begin, end, mine.scores);
      const int64_t rows = end - begin;
      Real largest[kBlock], sums[kBlock], log_sums[kBlock];
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t t = begin + r;
        Real* const p = mine.scores + r * head.row;
        const Seen seen = seen_by(head, begin, t);
        if (head.softcap > 0) cap_scores<Real>(head, seen, p, nullptr);
        largest[r] = largest_seen(p, seen);
        sums[r] = softmax_terms(p, seen, largest[r], scale, Real(0));
        if (!head.mask) continue;
        dropout_row(head, t, mine.factors);
        drop(seen, mine.factors, p);
      }
      map_packets(sums, log_sums, rows, [](const auto& sum) { return plog(sum); });
      for (int64_t r = 0; r < rows; ++r) {
        if (head.sink) {
          const Real sink = *head.sink - scale * largest[r];
          log_sums[r] = log_of_both(log_sums[r], sink);
          sums[r] += std::exp(sink);
        }
        Real* const to = stats + 2 * (i * a.T + begin + r);
        to[0] = largest[r];
        to[1] = log_sums[r];
      }
      weigh_rows(head, mine.scores, head.v, begin, end, y, head.width);
      for (int64_t r = 0; r < rows; ++r)
        Row<Real>(y + (begin + r) * head.width, a.D) *= Real(1) / sums[r];
    }
  });
}

// One head of the gradient. Returns that of its sink.
template <class Real>
double head_backward(const CausalAttention<Real>& a, const AttentionGradient<Real>& g,
                     const Scratch<Real>& mine, int64_t b, int64_t h) {
  using namespace Eigen::internal;
  const Head<Real> head = head_of(a, b, h);
  const int64_t at = b * a.T * head.width + h * a.D;
  const Real *const y = g.y + at, *const dy = g.dy + at;
  const Real* const stats = g.stats + 2 * (b * a.H + h) * a.T;
  Real* const own = g.shared ? g.shared + 2 * (b * a.H + h) * a.T * a.D : nullptr;
  Real *const dq = g.dqkv + (head.q - a.qkv), *const dk = own ? own : g.dqkv + (head.k - a.qkv),
              *const dv = own ? own + a.T * a.D : g.dqkv + (head.v - a.qkv);
  const int64_t dk_stride = own ? a.D : head.stride;
  const bool capped = head.softcap > 0;
  const Real seen_scale = capped ? Real(1) : head.scale;
  double dsink = 0;
  transpose_head(head, head.k, mine.keys);
  transpose_head(head, head.v, mine.values);
  for (int64_t begin = 0; begin < a.T; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, a.T);
    products_of_block(head, head.q, head.stride, mine.keys, begin, end, mine.scores);
    products_of_block(head, dy, head.width, mine.values, begin, end, mine.gradients);
    for (int64_t t = begin; t < end; ++t) {
      Real* const p = mine.scores + (t - begin) * head.row;      // becomes p factors
      Real* const ds = mine.gradients + (t - begin) * head.row;  // holds dp without factors
      const Seen seen = seen_by(head, begin, t);
      const Real largest = stats[2 * t], log_sum = stats[2 * t + 1];
      Real dy_y;
      dot<Real, 1>(dy + t * head.width, 0, y + t * head.width, a.D, &dy_y, 0);
      if (head.sink) {
        const Real p_sink = std::exp(*head.sink - seen_scale * largest - log_sum);
        dsink -= static_cast<double>(p_sink) * static_cast<double>(dy_y);
      }
      const Packet<Real> delta = all(-dy_y), scale = all(head.scale);
      if (capped) cap_scores(head, seen, p, mine.cap_slopes);
      softmax_terms(p, seen, largest, seen_scale, -log_sum);
      const auto gradient = [&](const auto& dp, int64_t s) {
        return pmul(pmul(load(p + s), scale), padd(dp, delta));
      };
      if (head.mask) {
        dropout_row(head, t, mine.factors);
        map_seen(ds, seen, [&](const auto& dp, int64_t s) {
          return gradient(pmul(dp, load(mine.factors + s)), s);
        });
        drop(seen, mine.factors, p);
      } else {
        map_seen(ds, seen, gradient);
      }
      if (capped) drop(seen, mine.cap_slopes, ds);
    }
    weigh_rows(head, mine.gradients, head.k, begin, end, dq, head.stride);
    weigh_columns(head, mine.gradients, head.q, head.stride, begin, end, dk, dk_stride);
    weigh_columns(head, mine.scores, dy, head.width, begin, end, dv, dk_stride);
  }
  return dsink;
}

// dk and dv of a head of keys: the sums of what the heads that share it left.
template <class Real>
void add_shared(Crew& crew, const CausalAttention<Real>& a, const AttentionGradient<Real>& g) {
  const int64_t group = a.H / a.K, width = (a.H + 2 * a.K) * a.D;
  const auto add_row = [&](int64_t b, int64_t t, int64_t part, int64_t kv) {
    Row<Real> to(g.dqkv + (b * a.T + t) * width + (a.H + part * a.K + kv) * a.D, a.D);
    for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
      const ConstRow<Real> term(g.shared + ((2 * (b * a.H + h) + part) * a.T + t) * a.D, a.D);
      if (h == kv * group) {
        to = term;
      } else {
        to += term;
      }
    }
  };
  crew.parallel_for(a.B * a.T, grain_of(2 * a.H * a.D * kBytes<Real>),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t i = begin; i < end; ++i)
                        for (int64_t part = 0; part < 2; ++part)
                          for (int64_t kv = 0; kv < a.K; ++kv) add_row(i / a.T, i % a.T, part, kv);
                    });
}

template <class Real>
void causal_attention_backward(Crew& crew, const CausalAttention<Real>& a,
                               const AttentionGradient<Real>& g, Real* scratch) {
  for_each_task(crew, a.B * a.H, [&](int64_t i, int64_t lane) {
    const Scratch<Real> mine =
        scratch_of(scratch + lane * causal_attention_scratch_count(a.T, a.D), a.T, a.D);
    const double dsink = head_backward(a, g, mine, i / a.H, i % a.H);
    if (g.dsinks) g.dsinks[i] = dsink;
  });
  if (g.shared) add_shared(crew, a, g);
}

template <class Real>
CausalAttention<Real> attention_of(const AttentionForm& form, const Array& qkv,
                                   const Array& sinks) {
  return {.form = form,
          .qkv = qkv.as<Real>(),
          .sinks = or_null<Real>(sinks),
          .B = qkv.shape()[0],
          .T = qkv.shape()[1],
          .H = form.heads,
          .K = form.kv_heads,
          .D = op::head_size(form, qkv)};
}

}  // namespace
}  // namespace cpu

Array CpuDevice::attention_scratch(DType dtype, int64_t T, int64_t D) {
  return allocate(dtype, Shape{crew_.lanes(), cpu::causal_attention_scratch_count(T, D)});
}

void CpuDevice::compute(const op::CausalAttention& o) {
  dispatch_computed(o.qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const auto a = cpu::attention_of<Real>(o.form, o.qkv, o.sinks);
    const Array scratch = attention_scratch(o.qkv.dtype(), a.T, a.D);
    cpu::causal_attention(crew_, a, o.y.as<Real>(), o.stats.as<Real>(), scratch.as<Real>());
  });
}

void CpuDevice::compute(const op::CausalAttentionBackward& o) {
  dispatch_computed(o.qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const auto a = cpu::attention_of<Real>(o.form, o.qkv, o.sinks);
    const Array terms = a.sinks ? allocate(DType::f64, Shape{a.B, a.H}) : Array();
    const Array shared =
        a.K < a.H ? allocate(o.qkv.dtype(), Shape{a.B, a.H, 2, a.T, a.D}) : Array();
    const cpu::AttentionGradient<Real> gradient{.y = o.y.as<Real>(),
                                                .stats = o.stats.as<Real>(),
                                                .dy = o.dy.as<Real>(),
                                                .dqkv = o.dqkv.as<Real>(),
                                                .shared = a.K < a.H ? shared.as<Real>() : nullptr,
                                                .dsinks = a.sinks ? terms.as<double>() : nullptr};
    const Array scratch = attention_scratch(o.qkv.dtype(), a.T, a.D);
    cpu::causal_attention_backward(crew_, a, gradient, scratch.as<Real>());
    for (int64_t i = 0; a.sinks && i < a.B * a.H; ++i)
      o.dsinks.as<Real>()[i % a.H] += static_cast<Real>(terms.as<double>()[i]);
  });
}

}  // namespace tplab
