// Attention of every form in exact arithmetic, with the error bounds of what is computed in Real.
#pragma once

#include <algorithm>
#include <vector>

#include "tests/sim/dropped.h"
#include "tests/sim/numbers.h"

namespace tplab {

struct AttentionCase {
  int64_t B, T, H, K, D;
  int64_t window = 0;
  double softcap = 0;
  bool sinks = false;
  double rate = 0;   // of dropout
  double scale = 0;  // 0: 1/√D

  int64_t width() const { return H * D; }
  int64_t qkv_width() const { return (H + 2 * K) * D; }
  AttentionForm form() const {
    AttentionForm f{.heads = H,
                    .kv_heads = K,
                    .scale = scale > 0 ? scale : 1 / std::sqrt(static_cast<double>(D)),
                    .window = window,
                    .softcap = softcap};
    if (rate > 0)
      f.mask = DropoutMask{.rate = rate,
                           .stream = RandomStream(7, "dropout"),
                           .first_sequence = 0,
                           .first_position = 0,
                           .whole_length = T,
                           .first_head = 0,
                           .whole_heads = H};
    return f;
  }
};

// A number that was computed exactly, and how far a computed one may be off.
struct Bounded {
  Exact value = 0, off = 0;
};

// Notation: γ_n as in numbers.h, f the dropout factors (one rounding), σ_j = scale q·k_j, capped
// where there is a cap c, A_j = scale Σ_d |q_d k_jd|.
//   σ_j is off by ε_j = γ_{D+3} A_j (the product with the scale, itself rounded, included), and by
//     the cap's 20 u c: its tanh is good to 8 units, its argument and result round twice.
//   L = log(Σ exp(σ - max) + exp(sink - max)): off by max_j ε_j, by 3u|σ - max| <= 3u range in the
//     exponents (the sink's among them), by 14u of exp and the sum, γ_n, and by 2u |log|; and by
//     the error of max, max_j ε_j again, which cancels in p.
//   p_j = exp(σ_j - max - L): off by the factor e^δ_j, δ_j = ε_j + error of L + 3u|σ_j - max| + uL
//     + 10u; the forward normalises by the same sum, so its p is off by less than twice that and
//     2u. Besides, exp ends at e^-87 or e^-707: all are off by that, λ, too.
//   y_c = Σ p f v: terms off by θ = expm1(2 max δ + 3u) and λ each, and γ_{n+2}.
//   dp_j = f (dy·v_j): γ_{D+2} f Σ|dy v|.   Δ = dy·y: γ_{D+1} Σ|dy y| + Σ|dy| off(y).
//   κ_j = 1 - (σ_j/c)², 1 without a cap: off by 2 |σ_j/c| (ε_j/c + 20u) + 4u.
//   ds_j = p (dp - Δ) κ scale: p κ (θ + 6u) |dp - Δ| + p κ (off(dp) + off(Δ)) + p |dp - Δ| off(κ)
//     + λ |dp - Δ| κ scale.
//   dq = Σ ds k, dk = Σ ds q, dv = Σ p f dy: their terms' errors and γ_{n+2}, n the number of
//   terms. dsink = Σ over b and t of -p_sink Δ, likewise.
// 10% more for second order.
template <class Real>
class ExactAttention {
 public:
  // dy may be absent: then of the forward pass only.
  ExactAttention(const AttentionCase& s, const Array& qkv, const Array& sinks, const Array& dy)
      : s_(s), form_(s.form()), qkv_(qkv), sinks_(sinks), dy_(dy) {
    y.resize(static_cast<size_t>(s.B * s.T * s.width()));
    stats.resize(static_cast<size_t>(s.B * s.H * s.T * 2));
    dqkv.resize(static_cast<size_t>(qkv.count()));
    dsinks.resize(static_cast<size_t>(s.H));
    for (int64_t b = 0; b < s.B; ++b)
      for (int64_t h = 0; h < s.H; ++h)
        for (int64_t t = 0; t < s.T; ++t) query(b, h, t);
  }

  std::vector<Bounded> y;       // [B, T, H D]
  std::vector<Bounded> stats;   // [B, H, T, 2]
  std::vector<Bounded> dqkv;    // [B, T, (H + 2 K) D]
  std::vector<Bounded> dsinks;  // [H], what is added

 private:
  // Feature 0 of head h of the queries, of its keys, of its values, in a row.
  int64_t place(int64_t b, int64_t t, int64_t part, int64_t h) const {
    const int64_t kv = h / (s_.H / s_.K);
    const int64_t head = part == 0 ? h : part == 1 ? s_.H + kv : s_.H + s_.K + kv;
    return (b * s_.T + t) * s_.qkv_width() + head * s_.D;
  }
  Exact qkv(int64_t i) const { return static_cast<Exact>(qkv_.template as<Real>()[i]); }
  static void accumulate(Bounded& sum, Exact term, Exact off, Exact gamma) {
    sum.value += term;
    sum.off += 1.1L * (off + gamma * std::abs(term));
  }

  void query(int64_t b, int64_t h, int64_t t) {
    const Exact lambda = std::exp(Exact(sizeof(Real) == 4 ? -87 : -707));
    const Exact u = unit_roundoff(dtype_of<Real>), scale = form_.scale, cap = form_.softcap;
    const int64_t first = form_.window > 0 ? std::max<int64_t>(0, t - form_.window + 1) : 0;
    const int64_t n = t + 1 - first;
    std::vector<Exact> score(static_cast<size_t>(n)), off(score), p(score), slope(score);
    std::vector<Exact> slope_off(score), factor(score.size(), Exact(1));
    Exact most = -1e30L, least = 1e30L, raw = -1e30L, raw_off = 0, worst = 0, sum = 0;
    const int64_t q = place(b, t, 0, h);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t k = place(b, first + i, 1, h);
      const auto at = static_cast<size_t>(i);
      Exact product = 0, size = 0;
      for (int64_t d = 0; d < s_.D; ++d) {
        product += qkv(q + d) * qkv(k + d);
        size += std::abs(qkv(q + d) * qkv(k + d));
      }
      score[at] = scale * product;
      off[at] = gamma_of<Real>(s_.D + 3) * scale * size;
      raw = std::max(raw, product);
      raw_off = std::max(raw_off, gamma_of<Real>(s_.D) * size);
      slope[at] = 1;
      if (cap > 0) {
        score[at] = cap * std::tanh(score[at] / cap);
        slope[at] = 1 - score[at] / cap * score[at] / cap;
        slope_off[at] = 2 * std::abs(score[at] / cap) * (off[at] / cap + 20 * u) + 4 * u;
        off[at] += 20 * u * cap;
      }
      most = std::max(most, score[at]);
      least = std::min(least, score[at]);
      worst = std::max(worst, off[at]);
      if (form_.mask) {
        const DropoutMask& mask = *form_.mask;
        const int64_t row = (mask.first_sequence + b) * mask.whole_heads + mask.first_head + h;
        const int64_t number = (row * mask.whole_length + t) * mask.whole_length + first + i;
        factor[at] = dropped(mask, number) ? 0 : 1 / (1 - Exact(mask.rate));
      }
    }
    for (const Exact v : score) sum += std::exp(v - most);
    Exact range = most - least;
    if (s_.sinks) {
      const auto sink = static_cast<Exact>(sinks_.template as<Real>()[h]);
      sum += std::exp(sink - most);
      range = std::max(range, std::abs(sink) + std::abs(most));
    }
    const Exact L = std::log(sum);
    const Exact L_off = worst + u * (3 * range + 14 + 2 * std::abs(L)) + gamma_of<Real>(n);
    const auto row = static_cast<size_t>(((b * s_.H + h) * s_.T + t) * 2);
    stats[row] = cap > 0 ? Bounded{most, worst} : Bounded{raw, raw_off};
    stats[row + 1] = {L, 1.1L * (L_off + worst)};
    Exact delta = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      p[i] = std::exp(score[i] - most - L);
      delta = std::max(delta, off[i] + L_off + u * (3 * range + std::abs(L) + 10));
    }
    const Exact theta = std::expm1(2 * delta + 3 * u), gamma = gamma_of<Real>(n + 2);
    Exact dot = 0, dot_off = 0;
    for (int64_t d = 0; d < s_.D; ++d) {
      const int64_t to = (b * s_.T + t) * s_.width() + h * s_.D + d;
      Bounded& sum_y = y[static_cast<size_t>(to)];
      for (int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<size_t>(i);
        const Exact v = factor[at] * qkv(place(b, first + i, 2, h) + d), term = p[at] * v;
        accumulate(sum_y, term, theta * std::abs(term) + lambda * std::abs(v), gamma);
      }
      if (!dy_.present()) continue;
      const auto dy = static_cast<Exact>(dy_.template as<Real>()[to]);
      dot += dy * sum_y.value;
      dot_off += std::abs(dy) * (gamma_of<Real>(s_.D + 1) * std::abs(sum_y.value) + sum_y.off);
    }
    if (!dy_.present()) return;
    const Exact long_gamma = gamma_of<Real>(s_.T * (s_.H / s_.K) + 2);
    const Real* const dy = dy_.template as<Real>() + (b * s_.T + t) * s_.width() + h * s_.D;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t k = place(b, first + i, 1, h), v = place(b, first + i, 2, h);
      const auto at = static_cast<size_t>(i);
      Exact dp = 0, dp_off = 0;
      for (int64_t d = 0; d < s_.D; ++d) {
        const Exact term = factor[at] * static_cast<Exact>(dy[d]) * qkv(v + d);
        dp += term;
        dp_off += gamma_of<Real>(s_.D + 2) * std::abs(term);
      }
      const Exact dz = p[at] * (dp - dot), ds = dz * slope[at] * scale;
      const Exact ds_off =
          (theta + 6 * u) * std::abs(ds) + p[at] * slope[at] * scale * (dp_off + dot_off) +
          (std::abs(dz) * slope_off[at] + lambda * std::abs(dp - dot) * slope[at]) * scale;
      for (int64_t d = 0; d < s_.D; ++d) {
        const Exact fdy = factor[at] * static_cast<Exact>(dy[d]), pf = p[at] * fdy;
        accumulate(dqkv[static_cast<size_t>(q + d)], ds * qkv(k + d), ds_off * std::abs(qkv(k + d)),
                   gamma);
        accumulate(dqkv[static_cast<size_t>(k + d)], ds * qkv(q + d), ds_off * std::abs(qkv(q + d)),
                   long_gamma);
        accumulate(dqkv[static_cast<size_t>(v + d)], pf,
                   theta * std::abs(pf) + lambda * std::abs(fdy), long_gamma);
      }
    }
    if (!s_.sinks) return;
    const Exact p_sink = std::exp(static_cast<Exact>(sinks_.template as<Real>()[h]) - most - L);
    accumulate(dsinks[static_cast<size_t>(h)], -p_sink * dot,
               p_sink * (theta * std::abs(dot) + dot_off), gamma_of<Real>(s_.B + 3));
  }

  const AttentionCase& s_;
  AttentionForm form_;
  const Array &qkv_, &sinks_, &dy_;
};

// How many of the numbers are further off than they may be; start: what they were added to.
template <class Real>
int64_t wrong_numbers(const Array& got, const std::vector<Bounded>& exact,
                      const Array& start = {}) {
  int64_t wrong = got.count() != std::ssize(exact);
  for (int64_t i = 0; wrong == 0 && i < got.count(); ++i) {
    const Bounded& e = exact[static_cast<size_t>(i)];
    const Exact before = start.present() ? static_cast<Exact>(start.as<Real>()[i]) : 0;
    const double off =
        static_cast<double>(e.off + gamma_of<Real>(1) * (std::abs(before) + std::abs(e.value)));
    if (!within(static_cast<double>(got.as<Real>()[i]), before + e.value, off)) ++wrong;
  }
  return wrong;
}

}  // namespace tplab
