// Attention for training on the CPU, forward and backward, against naive loops.
#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>

#include "tests/sim/dropped.h"
#include "tests/sim/lanes.h"

namespace tplab {
namespace {

std::optional<DropoutMask> optional(const DropoutMask* mask) {
  return mask ? std::optional(*mask) : std::nullopt;
}

struct AttentionSizes {
  int64_t B, T, H, D;
  int64_t width() const { return H * D; }
};

AttentionForm form_of(const AttentionSizes& s, const DropoutMask* mask) {
  return {.heads = s.H,
          .kv_heads = s.H,
          .scale = 1 / std::sqrt(static_cast<double>(s.D)),
          .mask = optional(mask)};
}

DropoutMask mask_of(const AttentionSizes& s, double rate) {
  return {.rate = rate,
          .stream = RandomStream(7, "dropout"),
          .first_sequence = 0,
          .first_position = 0,
          .whole_length = s.T,
          .first_head = 0,
          .whole_heads = s.H};
}

struct AttentionRun {
  Array qkv, dy, y, stats, dqkv;
};

template <class Real>
AttentionRun run_on(Device& device, const AttentionSizes& s, const DropoutMask* mask) {
  AttentionRun run{.qkv = numbers<Real>(device, Shape{s.B, s.T, 3 * s.width()}, 1),
                   .dy = numbers<Real>(device, Shape{s.B, s.T, s.width()}, 2),
                   .y = numbers<Real>(device, Shape{s.B, s.T, s.width()}, 3),
                   .stats = numbers<Real>(device, Shape{s.B, s.H, s.T, 2}, 4),
                   .dqkv = numbers<Real>(device, Shape{s.B, s.T, 3 * s.width()}, 5)};
  for (int64_t i = 0; i < run.qkv.count(); ++i) run.qkv.as<Real>()[i] *= Real(2);
  device.run(op::CausalAttention{form_of(s, mask), run.qkv, {}, run.y, run.stats});
  device.run(op::CausalAttentionBackward{
      form_of(s, mask), run.qkv, {}, run.y, run.stats, run.dy, run.dqkv, {}});
  return run;
}

// A number that was computed exactly, and how far a computed one may be off.
struct Bounded {
  Exact value = 0, off = 0;
};

// One head of one sequence in exact arithmetic, with error bounds. Notation: γ_n as in numbers.h,
// f the dropout factors (one rounding), scores σ_j = q·k_j / √D, A_j = Σ_d |q_d k_jd| / √D.
//   σ_j is off by ε_j = γ_{D+3} A_j (the product with 1/√D, itself rounded, included).
//   L = log Σ exp(σ - max): off by max_j ε_j, by 3u|σ - max| <= 3u range in the exponents, by 12u
//     of exp and the sum, γ_n, and by 2u |log|; and by the error of max, max_j ε_j again, which
//     cancels in p.
//   p_j = exp(σ_j - max - L): off by the factor e^δ_j, δ_j = ε_j + error of L + 3u|σ_j - max| + uL
//     + 10u; the forward normalises by the same sum, so its p is off by less than twice that and
//     2u.
//   y_c = Σ p f v: terms off by θ = expm1(2 max δ + 3u) each, and γ_{n+2}.
//   dp_j = f (dy·v_j): γ_{D+2} f Σ|dy v|.   Δ = dy·y: γ_{D+1} Σ|dy y| + Σ|dy| off(y).
//   ds_j = p (dp - Δ)/√D: p (θ + 4u) |dp - Δ| + p (off(dp) + off(Δ)), over √D.
//   dq = Σ ds k, dk = Σ ds q, dv = Σ p f dy: their terms' errors and γ_{n+2}.
// 10% more for second order.
template <class Real>
struct ExactHead {
  const AttentionRun& run;
  const AttentionSizes& s;
  const DropoutMask* mask;
  int64_t b, h;
  std::vector<Bounded> y{}, log_sums{}, dqkv{};  // [T, D], [T], [T, 3 D]

  Exact qkv(int64_t t, int64_t part, int64_t d) const {
    return static_cast<Exact>(run.qkv.template as<Real>()[(b * s.T + t) * 3 * s.width() +
                                                          part * s.width() + h * s.D + d]);
  }
  Exact dy(int64_t t, int64_t d) const {
    return static_cast<Exact>(run.dy.template as<Real>()[(b * s.T + t) * s.width() + h * s.D + d]);
  }
  Bounded& d_of(int64_t t, int64_t part, int64_t d) {
    return dqkv[static_cast<size_t>((t * 3 + part) * s.D + d)];
  }
  static void accumulate(Bounded& sum, Exact term, Exact off, Exact gamma) {
    sum.value += term;
    sum.off += 1.1L * (off + gamma * std::abs(term));
  }

  void query(int64_t t) {
    const Exact u = unit_roundoff(dtype_of<Real>), root = std::sqrt(Exact(s.D));
    const int64_t n = t + 1;
    std::vector<Exact> score(static_cast<size_t>(n)), off(score), p(score);
    std::vector<Exact> factor(score.size(), Exact(1));
    Exact most = -1e30L, least = 1e30L, worst = 0, sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      const auto i = static_cast<size_t>(j);
      for (int64_t d = 0; d < s.D; ++d) {
        score[i] += qkv(t, 0, d) * qkv(j, 1, d) / root;
        off[i] += gamma_of<Real>(s.D + 3) * std::abs(qkv(t, 0, d) * qkv(j, 1, d)) / root;
      }
      most = std::max(most, score[i]);
      least = std::min(least, score[i]);
      worst = std::max(worst, off[i]);
      if (mask) {
        const int64_t row = (mask->first_sequence + b) * mask->whole_heads + mask->first_head + h;
        const int64_t number = (row * mask->whole_length + t) * mask->whole_length + j;
        factor[i] = dropped(*mask, number) ? 0 : 1 / (1 - Exact(mask->rate));
      }
    }
    for (const Exact v : score) sum += std::exp(v - most);
    const Exact L = std::log(sum);
    const Exact L_off = worst + u * (3 * (most - least) + 12 + 2 * L) + gamma_of<Real>(n);
    log_sums.push_back({L, 1.1L * (L_off + worst)});
    Exact delta = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      p[i] = std::exp(score[i] - most - L);
      delta = std::max(delta, off[i] + L_off + u * (3 * (most - score[i]) + L + 10));
    }
    const Exact theta = std::expm1(2 * delta + 3 * u), gamma = gamma_of<Real>(n + 2);
    Exact dot = 0, dot_off = 0;
    for (int64_t d = 0; d < s.D; ++d) {
      Bounded sum_y;
      for (int64_t j = 0; j < n; ++j) {
        const auto i = static_cast<size_t>(j);
        const Exact term = p[i] * factor[i] * qkv(j, 2, d);
        accumulate(sum_y, term, theta * std::abs(term), gamma);
      }
      y.push_back(sum_y);
      dot += dy(t, d) * sum_y.value;
      dot_off += std::abs(dy(t, d)) * (gamma_of<Real>(s.D + 1) * std::abs(sum_y.value) + sum_y.off);
    }
    for (int64_t j = 0; j < n; ++j) {
      const auto i = static_cast<size_t>(j);
      Exact dp = 0, dp_off = 0;
      for (int64_t d = 0; d < s.D; ++d) {
        dp += factor[i] * dy(t, d) * qkv(j, 2, d);
        dp_off += gamma_of<Real>(s.D + 2) * factor[i] * std::abs(dy(t, d) * qkv(j, 2, d));
      }
      const Exact ds = p[i] * (dp - dot) / root;
      const Exact ds_off = (theta + 4 * u) * std::abs(ds) + p[i] * (dp_off + dot_off) / root;
      for (int64_t d = 0; d < s.D; ++d) {
        const Exact k = qkv(j, 1, d), q = qkv(t, 0, d), pf = p[i] * factor[i];
        const Exact long_gamma = gamma_of<Real>(s.T + 2);
        accumulate(d_of(t, 0, d), ds * k, ds_off * std::abs(k), gamma);
        accumulate(d_of(j, 1, d), ds * q, ds_off * std::abs(q), long_gamma);
        accumulate(d_of(j, 2, d), pf * dy(t, d), theta * std::abs(pf * dy(t, d)), long_gamma);
      }
    }
  }

  int64_t wrong() {
    dqkv.resize(static_cast<size_t>(s.T * 3 * s.D));
    for (int64_t t = 0; t < s.T; ++t) query(t);
    int64_t count = 0;
    const auto check = [&](Real got, const Bounded& expected) {
      if (!within(static_cast<double>(got), expected.value, double(expected.off))) ++count;
    };
    for (int64_t t = 0; t < s.T; ++t) {
      check(run.stats.template as<Real>()[((b * s.H + h) * s.T + t) * 2 + 1],
            log_sums[static_cast<size_t>(t)]);
      for (int64_t d = 0; d < s.D; ++d) {
        const int64_t at = (b * s.T + t) * s.width() + h * s.D + d;
        check(run.y.template as<Real>()[at], y[static_cast<size_t>(t * s.D + d)]);
        for (int64_t part = 0; part < 3; ++part) {
          const int64_t to = (b * s.T + t) * 3 * s.width() + part * s.width() + h * s.D + d;
          check(run.dqkv.template as<Real>()[to], d_of(t, part, d));
        }
      }
    }
    return count;
  }
};

TEMPLATE_TEST_CASE("causal_attention and its backward: within their bounds, with dropout too", "",
                   float, double) {
  for (const AttentionSizes& s :
       {AttentionSizes{1, 1, 1, 1}, AttentionSizes{2, 3, 3, 3}, AttentionSizes{1, 17, 1, 31},
        AttentionSizes{2, 31, 2, 17}, AttentionSizes{2, 64, 2, 32}, AttentionSizes{1, 65, 3, 65},
        AttentionSizes{1, 150, 2, 64}, AttentionSizes{1, 129, 1, 5}}) {
    INFO("B " << s.B << " T " << s.T << " H " << s.H << " D " << s.D);
    for (const double rate : {0.0, 0.2}) {
      const DropoutMask mask = mask_of(s, rate);
      Team team(2);
      const auto device = make_cpu_device(team.crew());
      const AttentionRun run = run_on<TestType>(*device, s, rate > 0 ? &mask : nullptr);
      int64_t wrong = 0;
      for (int64_t i = 0; i < s.B * s.H; ++i) {
        ExactHead<TestType> head{run, s, rate > 0 ? &mask : nullptr, i / s.H, i % s.H};
        wrong += head.wrong();
      }
      CHECK(wrong == 0);
    }
  }
}

TEMPLATE_TEST_CASE("causal_attention and its backward: the same bits on any number of lanes", "",
                   float, double) {
  for (const AttentionSizes& s : {AttentionSizes{2, 150, 3, 17}, AttentionSizes{3, 7, 2, 64},
                                  AttentionSizes{1, 200, 1, 32}}) {
    const DropoutMask mask = mask_of(s, 0.3);
    for (const DropoutMask* const used : {static_cast<const DropoutMask*>(nullptr), &mask}) {
      same_on_all_lanes([&](Device& device) {
        const AttentionRun run = run_on<TestType>(device, s, used);
        return std::vector<Array>{run.y, run.stats, run.dqkv};
      });
    }
  }
}

TEST_CASE("causal_attention_backward agrees with finite differences, with dropout too") {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  const AttentionSizes s{2, 70, 2, 5};
  const DropoutMask mask = mask_of(s, 0.25);
  for (const DropoutMask* const used : {static_cast<const DropoutMask*>(nullptr), &mask}) {
    AttentionRun run = run_on<double>(*device, s, used);
    check_derivative(run.qkv, run.dqkv, [&] {
      device->run(op::CausalAttention{form_of(s, used), run.qkv, {}, run.y, run.stats});
      return weighted_sum(run.y, run.dy);
    });
  }
}

// NaN in a key or value reaches all later positions, and may reach earlier ones of its strip of 16.
// which: 0 in a query, 1 in a key, 2 in a value. Head 1 of 2, sequence 0 of 2.
template <class Real>
void check_nan_shows(int64_t which, int64_t at) {
  INFO("in part " << which << " of position " << at);
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  const AttentionSizes s{2, 140, 2, 4};
  AttentionRun run = run_on<Real>(*device, s, nullptr);
  run.qkv.as<Real>()[at * 24 + which * 8 + 4 + 2] = std::numeric_limits<Real>::quiet_NaN();
  device->run(op::CausalAttention{form_of(s, nullptr), run.qkv, {}, run.y, run.stats});
  int64_t wrong = 0;
  for (int64_t i = 0; i < run.y.count(); ++i) {
    const int64_t c = i % 8, t = i / 8 % s.T, b = i / 8 / s.T;
    const bool head_hit = b == 0 && c >= 4 && (which < 2 || c == 6);
    const bool must = head_hit && (which == 0 ? t == at : t >= at);
    const bool may = head_hit && (which == 0 ? t == at : t >= at / 16 * 16);
    const bool bad = std::isnan(run.y.as<Real>()[i]);
    if ((must && !bad) || (bad && !may)) ++wrong;
  }
  CHECK(wrong == 0);
  device->run(op::CausalAttentionBackward{
      form_of(s, nullptr), run.qkv, {}, run.y, run.stats, run.dy, run.dqkv, {}});
  bool own = false;
  wrong = 0;
  for (int64_t i = 0; i < run.dqkv.count(); ++i) {
    const bool bad = std::isnan(run.dqkv.as<Real>()[i]);
    const bool same_head = i / 24 / s.T == 0 && i % 8 >= 4;
    if (bad && !same_head) ++wrong;
    own = own || bad;
  }
  CHECK(wrong == 0);
  CHECK(own);
}

TEMPLATE_TEST_CASE("causal_attention: NaN reaches its own and later positions of its head alone",
                   "", float, double) {
  for (const int64_t at : {0, 40, 63, 64, 139}) {
    for (const int64_t which : {0, 1, 2}) check_nan_shows<TestType>(which, at);
  }
}

TEST_CASE("attention dropout: one head of one sequence alone has the same mask as among others") {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  const AttentionSizes all{3, 70, 4, 8}, one{1, 70, 1, 8};
  DropoutMask mask = mask_of(all, 0.4);
  const AttentionRun whole = run_on<float>(*device, all, &mask);
  AttentionRun piece = run_on<float>(*device, one, &mask);
  for (int64_t b = 0; b < all.B; ++b) {
    for (int64_t h = 0; h < all.H; ++h) {
      const auto cut = [&](const Array& from, int64_t parts, Array& to, bool put) {
        for (int64_t i = 0; i < to.count(); ++i) {
          const int64_t t = i / (parts * 8), part = i / 8 % parts, d = i % 8;
          const int64_t at = ((b * all.T + t) * parts + part) * all.width() + h * 8 + d;
          if (put) {
            to.as<float>()[i] = from.as<float>()[at];
          } else {
            REQUIRE(to.as<float>()[i] == from.as<float>()[at]);
          }
        }
      };
      cut(whole.qkv, 3, piece.qkv, true);
      cut(whole.dy, 1, piece.dy, true);
      mask.first_sequence = b;
      mask.first_head = h;
      device->run(op::CausalAttention{form_of(one, &mask), piece.qkv, {}, piece.y, piece.stats});
      device->run(op::CausalAttentionBackward{
          form_of(one, &mask), piece.qkv, {}, piece.y, piece.stats, piece.dy, piece.dqkv, {}});
      cut(whole.y, 1, piece.y, false);
      cut(whole.dqkv, 3, piece.dqkv, false);
    }
  }
}

}  // namespace
}  // namespace tplab
