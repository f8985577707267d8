// Attention on the CPU against naive loops: prefill, decode, caches, batches, NaN.
#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>
#include <optional>

#include "tests/sim/exact_attention.h"
#include "tests/sim/lanes.h"

namespace tplab {
namespace {

struct Sizes {
  int64_t B, T, H, D, S;
};

AttentionForm form_of(int64_t heads, int64_t D) {
  return {.heads = heads, .kv_heads = heads, .scale = 1 / std::sqrt(static_cast<double>(D))};
}

op::Past past_at(Device& device, int64_t B, int64_t filled) {
  return {
      ids_of(device, std::vector<int32_t>(static_cast<size_t>(B), static_cast<int32_t>(filled))),
      filled};
}

template <class Real>
struct Run {
  Array qkv, keys, values, y;
};

// The rows [first, first + count) of each sequence.   x: [B, T, C]   ->   [B, count, C]
template <class Real>
Array cut(Device& device, const Array& x, int64_t first, int64_t count) {
  const int64_t B = x.shape()[0], T = x.shape()[1], C = x.shape()[2];
  Array y = device.allocate(x.dtype(), Shape{B, count, C});
  for (int64_t b = 0; b < B; ++b) {
    std::copy_n(x.as<Real>() + (b * T + first) * C, count * C, y.as<Real>() + b * count * C);
  }
  return y;
}

// Runs T positions in steps of the given lengths, each behind the one before it.
template <class Real>
Run<Real> run_in_steps(int lanes, const Sizes& s, const std::vector<int64_t>& steps) {
  Team team(lanes);
  const auto device = make_cpu_device(team.crew());
  const int64_t C = s.H * s.D;
  Run<Real> run{numbers<Real>(*device, Shape{s.B, s.T, 3 * C}, 1),
                numbers<Real>(*device, Shape{s.B, s.H, s.S, s.D}, 2),  // not read before written
                numbers<Real>(*device, Shape{s.B, s.H, s.S, s.D}, 3),
                device->allocate(dtype_of<Real>, Shape{s.B, s.T, C})};
  std::fill_n(run.keys.template as<Real>(), run.keys.count(),
              std::numeric_limits<Real>::quiet_NaN());
  for (int64_t i = 0; i < run.qkv.count(); ++i) run.qkv.template as<Real>()[i] *= Real(2);
  int64_t past = 0;
  for (const int64_t length : steps) {
    Array y = device->allocate(dtype_of<Real>, Shape{s.B, length, C});
    device->run(op::CachedAttention{form_of(s.H, s.D),
                                    cut<Real>(*device, run.qkv, past, length),
                                    {},
                                    past_at(*device, s.B, past),
                                    run.keys,
                                    run.values,
                                    y});
    for (int64_t b = 0; b < s.B; ++b) {
      std::copy_n(y.as<Real>() + b * length * C, length * C,
                  run.y.template as<Real>() + (b * s.T + past) * C);
    }
    past += length;
  }
  return run;
}

// One output row, and how far a computed one may be off.
//
// With A = max_j |q|·|k_j| and σ_j = (s_j - max s)/√D: s_j is off by γ_D A, and so is the maximum
// (one that is off cancels in the quotient, but its rounding against s_j does not); subtraction and
// scaling round three times. So the exponent is off by δ = 2 γ_D A/√D + 3u |σ|, and with exp's own
// 5 units (10u) a weight by θ = e^δ (1 + 10u) - 1. Numerator and denominator are sums of n weighted
// terms, each with γ_{n+1}; the quotient of the two and its rounding:
//   |error of y_c| <= (2θ + 2γ_{n+2}) Σ p_j |v_jc|, and 10% more for second order.
// Weights below e^-80 are within the clamp of exp and count for nothing beside the largest, 1.
template <class Real>
int64_t wrong_in_row(const Run<Real>& run, const Sizes& s, int64_t b, int64_t h, int64_t t) {
  const int64_t C = s.H * s.D, n = t + 1;
  const auto part = [&](int64_t position, int64_t which) {
    return run.qkv.template as<Real>() + (b * s.T + position) * 3 * C + which * C + h * s.D;
  };
  std::vector<Exact> p(static_cast<size_t>(n));
  Exact A = 0, total = 0;
  for (int64_t j = 0; j < n; ++j) {
    Exact score = 0, size = 0;
    for (int64_t d = 0; d < s.D; ++d) {
      const Exact term = static_cast<Exact>(part(t, 0)[d]) * part(j, 1)[d];
      score += term;
      size += std::abs(term);
    }
    p[static_cast<size_t>(j)] = score / std::sqrt(static_cast<Exact>(s.D));
    A = std::max(A, size);
  }
  const auto [least, most] = std::minmax_element(p.begin(), p.end());
  const Exact u = unit_roundoff(dtype_of<Real>), range = *most - *least, largest = *most;
  for (Exact& weight : p) total += weight = std::exp(weight - largest);
  const Exact delta =
      2 * gamma_of<Real>(s.D) * A / std::sqrt(static_cast<Exact>(s.D)) + 3 * u * range;
  const Exact theta = std::expm1(delta) + 10 * u * std::exp(delta);

  int64_t wrong = 0;
  for (int64_t c = 0; c < s.D; ++c) {
    Exact exact = 0, size = 0;
    for (int64_t j = 0; j < n; ++j) {
      const Exact term = p[static_cast<size_t>(j)] / total * part(j, 2)[c];
      exact += term;
      size += std::abs(term);
    }
    const auto bound = static_cast<double>(1.1L * (2 * theta + 2 * gamma_of<Real>(n + 2)) * size);
    const Real got = run.y.template as<Real>()[(b * s.T + t) * C + h * s.D + c];
    if (!within(static_cast<double>(got), exact, bound)) ++wrong;
  }
  return wrong;
}

template <class Real>
void check_all_rows(const Run<Real>& run, const Sizes& s) {
  int64_t wrong = 0;
  for (int64_t b = 0; b < s.B; ++b) {
    for (int64_t h = 0; h < s.H; ++h) {
      for (int64_t t = 0; t < s.T; ++t) wrong += wrong_in_row(run, s, b, h, t);
    }
  }
  CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("attention: within its bound in one go, token by token and in between", "",
                   float, double) {
  for (const Sizes& s :
       {Sizes{1, 1, 1, 1, 1}, Sizes{2, 3, 3, 3, 5}, Sizes{1, 17, 1, 31, 17},
        Sizes{2, 31, 2, 17, 40}, Sizes{1, 65, 3, 65, 65}, Sizes{2, 150, 2, 64, 160}}) {
    INFO("B " << s.B << " T " << s.T << " H " << s.H << " D " << s.D);
    check_all_rows(run_in_steps<TestType>(2, s, {s.T}), s);
    check_all_rows(run_in_steps<TestType>(1, s, std::vector<int64_t>(size_t(s.T), 1)), s);
    if (s.T < 17) continue;
    check_all_rows(run_in_steps<TestType>(2, s, {5, 1, s.T - 8, 2}), s);
  }
}

TEMPLATE_TEST_CASE("attention: the same bits on any number of lanes", "", float, double) {
  for (const Sizes& s : {Sizes{2, 150, 3, 17, 150}, Sizes{1, 7, 2, 64, 9}}) {
    for (const std::vector<int64_t>& steps :
         {std::vector<int64_t>{s.T}, std::vector<int64_t>{s.T - 2, 1, 1}}) {
      const Run<TestType> one = run_in_steps<TestType>(1, s, steps);
      for (const int lanes : {2, 3}) {
        const Run<TestType> more = run_in_steps<TestType>(lanes, s, steps);
        CHECK(same_bits(more.y, one.y));
        CHECK(same_bits(more.values, one.values));
      }
    }
  }
}

TEMPLATE_TEST_CASE("attention: keys and values go to their positions in the cache, no other", "",
                   float, double) {
  const Sizes s{2, 9, 2, 3, 12};
  const Run<TestType> run = run_in_steps<TestType>(2, s, {6, 3});
  for (int64_t i = 0; i < run.values.count(); ++i) {
    const int64_t d = i % s.D, t = i / s.D % s.S, h = i / s.D / s.S % s.H, b = i / s.D / s.S / s.H;
    const TestType* const row =
        run.qkv.template as<TestType>() + (b * s.T + t) * 3 * s.H * s.D + h * s.D + d;
    if (t < s.T) {
      CHECK(run.keys.template as<TestType>()[i] == row[s.H * s.D]);
      CHECK(run.values.template as<TestType>()[i] == row[2 * s.H * s.D]);
    } else {
      CHECK(std::isnan(run.keys.template as<TestType>()[i]));
      CHECK(run.values.template as<TestType>()[i] == static_cast<TestType>(number_at(i, 3)));
    }
  }
}

// Sequences of unequal pasts: each is filled alone first, then all go on together. exact: what the
// case gives, which is the same whatever is filled; computed if it is not there.
template <class Real>
void check_form(const AttentionCase& s, const std::vector<int64_t>& filled, int64_t T,
                std::optional<ExactAttention<Real>>& exact) {
  INFO("T " << T << " heads " << s.H << " on " << s.K << " window " << s.window << " cap "
            << s.softcap << " sinks " << s.sinks);
  const int64_t longest = *std::max_element(filled.begin(), filled.end());
  Array qkv, sinks, y;
  same_on_all_lanes([&](Device& device) {
    qkv = numbers<Real>(device, {s.B, s.T, s.qkv_width()}, 1);
    for (int64_t i = 0; i < qkv.count(); ++i) qkv.as<Real>()[i] *= Real(2);
    sinks = s.sinks ? numbers<Real>(device, {s.H}, 6) : Array();
    Array keys = numbers<Real>(device, {s.B, s.K, s.T, s.D}, 2),
          values = numbers<Real>(device, keys.shape(), 3);
    std::fill_n(keys.as<Real>(), keys.count(), std::numeric_limits<Real>::quiet_NaN());
    std::fill_n(values.as<Real>(), keys.count(), std::numeric_limits<Real>::quiet_NaN());
    y = numbers<Real>(device, {s.B, T, s.width()}, 4);
    Array next = numbers<Real>(device, {s.B, T, s.qkv_width()}, 4);
    std::vector<int32_t> past;
    for (int64_t b = 0; b < s.B; ++b) {
      const int64_t n = filled[static_cast<size_t>(b)], one = s.K * s.T * s.D;
      if (n > 0) {
        device.run(op::CachedAttention{s.form(),
                                       qkv.part(b * s.T * s.qkv_width(), {1, n, s.qkv_width()}),
                                       sinks,
                                       {},
                                       keys.part(b * one, {1, s.K, s.T, s.D}),
                                       values.part(b * one, {1, s.K, s.T, s.D}),
                                       numbers<Real>(device, {1, n, s.width()}, 5)});
      }
      past.push_back(static_cast<int32_t>(n));
      std::copy_n(qkv.as<Real>() + (b * s.T + n) * s.qkv_width(), T * s.qkv_width(),
                  next.as<Real>() + b * T * s.qkv_width());
    }
    device.run(op::CachedAttention{
        s.form(), next, sinks, {ids_of(device, past), longest}, keys, values, y});
    return y;
  });
  if (!exact) exact.emplace(s, qkv, sinks, Array());
  for (int64_t b = 0; b < s.B; ++b) {
    const auto from = exact->y.begin() + (b * s.T + filled[static_cast<size_t>(b)]) * s.width();
    CHECK(wrong_numbers<Real>(y.part(b * T * s.width(), {T, s.width()}),
                              {from, from + T * s.width()}) == 0);
  }
}

TEMPLATE_TEST_CASE("cached attention: every form, of sequences of unequal pasts, within its bounds",
                   "", float, double) {
  const AttentionCase all{.B = 2,
                          .T = 150,
                          .H = 6,
                          .K = 3,
                          .D = 12,
                          .window = 37,
                          .softcap = 1.5,
                          .sinks = true,
                          .scale = 0.7};
  std::vector<AttentionCase> cases{all};
  cases.push_back({.B = 2, .T = 150, .H = 2, .K = 2, .D = 33});
  cases.push_back({.B = 2, .T = 150, .H = 8, .K = 2, .D = 16});
  cases.push_back({.B = 2, .T = 150, .H = 4, .K = 4, .D = 8, .window = 1});
  cases.push_back({.B = 2, .T = 150, .H = 5, .K = 1, .D = 256, .window = 70});
  cases.push_back({.B = 2, .T = 150, .H = 2, .K = 2, .D = 8, .softcap = 0.75});
  cases.push_back({.B = 2, .T = 150, .H = 2, .K = 2, .D = 8, .sinks = true});
  for (const AttentionCase& s : cases) {
    std::optional<ExactAttention<TestType>> exact;
    check_form<TestType>(s, {149, 3}, 1, exact);
    check_form<TestType>(s, {0, 40}, 3, exact);
    check_form<TestType>(s, {7, 80}, 70, exact);
    check_form<TestType>(s, {0, 0}, 150, exact);
  }
}

// which: 0 in a query, 1 in a key, 2 in a value. Position 40 of 100, head 1 of 2, sequence 0 of 2.
template <class Real>
void check_nan(int64_t which, int64_t at) {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  Array qkv = numbers<Real>(*device, Shape{2, 100, 3 * 2 * 4}, 1);
  Array keys = device->allocate(qkv.dtype(), Shape{2, 2, 100, 4});
  Array values = device->allocate(qkv.dtype(), Shape{2, 2, 100, 4});
  Array y = device->allocate(qkv.dtype(), Shape{2, 100, 8});
  qkv.as<Real>()[at * 24 + which * 8 + 4 + 2] = std::numeric_limits<Real>::quiet_NaN();
  device->run(op::CachedAttention{form_of(2, 4), qkv, {}, {}, keys, values, y});
  int64_t wrong = 0;
  for (int64_t i = 0; i < y.count(); ++i) {
    const int64_t c = i % 8, t = i / 8 % 100, b = i / 800;
    const bool head_hit = b == 0 && c >= 4 && (which < 2 || c == 6);
    const bool hit = head_hit && (which == 0 ? t == at : t >= at);
    if (std::isnan(y.as<Real>()[i]) != hit) ++wrong;
  }
  INFO("in part " << which << " of position " << at);
  CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("attention: NaN reaches its own and later positions of its head, no other", "",
                   float, double) {
  for (const int64_t at : {0, 40, 63, 64, 99}) {
    for (const int64_t which : {0, 1, 2}) check_nan<TestType>(which, at);
  }
}

}  // namespace
}  // namespace tplab
