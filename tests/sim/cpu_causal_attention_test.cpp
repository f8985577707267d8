// Attention for training on the CPU, forward and backward, against naive loops.
#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>

#include "tests/sim/exact_attention.h"
#include "tests/sim/lanes.h"

namespace tplab {
namespace {

struct AttentionRun {
  Array qkv, sinks, dy, y, stats, dqkv, dsinks;
  void forward(Device& device, const AttentionForm& form) const {
    device.run(op::CausalAttention{form, qkv, sinks, y, stats});
  }
  void backward(Device& device, const AttentionForm& form) const {
    device.run(op::CausalAttentionBackward{form, qkv, sinks, y, stats, dy, dqkv, dsinks});
  }
};

template <class Real>
AttentionRun run_on(Device& device, const AttentionCase& s) {
  const auto sinks = [&](int seed) {
    return s.sinks ? numbers<Real>(device, {s.H}, seed) : Array();
  };
  AttentionRun run{.qkv = numbers<Real>(device, Shape{s.B, s.T, s.qkv_width()}, 1),
                   .sinks = sinks(6),
                   .dy = numbers<Real>(device, Shape{s.B, s.T, s.width()}, 2),
                   .y = numbers<Real>(device, Shape{s.B, s.T, s.width()}, 3),
                   .stats = numbers<Real>(device, Shape{s.B, s.H, s.T, 2}, 4),
                   .dqkv = numbers<Real>(device, Shape{s.B, s.T, s.qkv_width()}, 5),
                   .dsinks = sinks(7)};
  for (int64_t i = 0; i < run.qkv.count(); ++i) run.qkv.as<Real>()[i] *= Real(2);
  run.forward(device, s.form());
  run.backward(device, s.form());
  return run;
}

// Plain heads of odd sizes, and each other form alone, with dropout, and all at once: heads that
// share keys, windows shorter than a strip, longer than a block and longer than all, caps below the
// scores' size.
std::vector<AttentionCase> all_cases() {
  std::vector<AttentionCase> cases = {{1, 1, 1, 1, 1},    {2, 3, 3, 3, 3},   {1, 17, 1, 1, 31},
                                      {2, 31, 2, 2, 17},  {2, 64, 2, 2, 32}, {1, 65, 3, 3, 65},
                                      {1, 150, 2, 2, 64}, {1, 129, 1, 1, 5}};
  for (AttentionCase s : std::vector(cases)) {
    s.rate = 0.2;
    cases.push_back(s);
  }
  for (const int64_t window : {1, 7, 16, 70, 130, 1000})
    cases.push_back({.B = 2, .T = 150, .H = 2, .K = 2, .D = 8, .window = window, .rate = 0.2});
  cases.push_back({.B = 2, .T = 70, .H = 6, .K = 2, .D = 9});
  cases.push_back({.B = 2, .T = 70, .H = 4, .K = 1, .D = 16, .rate = 0.2});
  cases.push_back({.B = 1, .T = 70, .H = 2, .K = 2, .D = 16, .softcap = 0.75, .rate = 0.2});
  cases.push_back({.B = 2, .T = 70, .H = 3, .K = 3, .D = 16, .sinks = true, .rate = 0.2});
  cases.push_back({.B = 1, .T = 33, .H = 2, .K = 2, .D = 256, .scale = 0.25});
  cases.push_back({.B = 1, .T = 9, .H = 71, .K = 1, .D = 3});
  for (const int64_t T : {1, 20, 140})
    cases.push_back({.B = 2,
                     .T = T,
                     .H = 6,
                     .K = 3,
                     .D = 12,
                     .window = 37,
                     .softcap = 1.5,
                     .sinks = true,
                     .rate = 0.2,
                     .scale = 0.7});
  return cases;
}

std::string text(const AttentionCase& s) {
  return fmt::format("[{}, {}], {} heads of {} on {}, window {}, cap {}, sinks {}, rate {}", s.B,
                     s.T, s.H, s.D, s.K, s.window, s.softcap, s.sinks, s.rate);
}

TEMPLATE_TEST_CASE("causal_attention and its backward: every form within its bounds, on any lanes",
                   "", float, double) {
  for (const AttentionCase& s : all_cases()) {
    INFO(text(s));
    AttentionRun run;
    same_on_all_lanes([&](Device& device) {
      run = run_on<TestType>(device, s);
      std::vector<Array> written{run.y, run.stats, run.dqkv};
      if (s.sinks) written.push_back(run.dsinks);
      return written;
    });
    const ExactAttention<TestType> exact(s, run.qkv, run.sinks, run.dy);
    CHECK(wrong_numbers<TestType>(run.y, exact.y) == 0);
    CHECK(wrong_numbers<TestType>(run.stats, exact.stats) == 0);
    CHECK(wrong_numbers<TestType>(run.dqkv, exact.dqkv) == 0);
    if (!s.sinks) continue;
    Team team(1);
    const auto device = make_cpu_device(team.crew());
    const Array start = numbers<TestType>(*device, {s.H}, 7);
    CHECK(wrong_numbers<TestType>(run.dsinks, exact.dsinks, start) == 0);
  }
}

TEST_CASE("causal_attention_backward agrees with finite differences, in every form") {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  for (const AttentionCase& s : all_cases()) {
    if (s.T > 70 && s.window == 0) continue;
    INFO(text(s));
    AttentionRun run = run_on<double>(*device, s);
    const auto loss = [&] {
      run.forward(*device, s.form());
      return weighted_sum(run.y, run.dy);
    };
    check_derivative(run.qkv, run.dqkv, loss);
    if (!s.sinks) continue;
    device->zero(run.dsinks);
    run.backward(*device, s.form());
    check_derivative(run.sinks, run.dsinks, loss);
  }
}

TEST_CASE("attention: a sink far above all scores takes all probability, and one far below none") {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  const AttentionCase s{.B = 1, .T = 20, .H = 2, .K = 2, .D = 4, .sinks = true};
  AttentionCase plain = s;
  plain.sinks = false;
  AttentionRun run = run_on<float>(*device, s);
  const AttentionRun without = run_on<float>(*device, plain);
  run.sinks.as<float>()[0] = 1e4f;
  run.sinks.as<float>()[1] = -1e4f;
  device->zero(run.dsinks);
  run.forward(*device, s.form());
  run.backward(*device, s.form());
  for (int64_t i = 0; i < run.y.count(); ++i) {
    const bool first = i % 8 < 4;  // head; exp of a float ends at e^-88
    CHECK(run.y.as<float>()[i] == (first ? 0 : without.y.as<float>()[i]));
  }
  for (int64_t i = 0; i < run.dqkv.count(); ++i) {
    const float got = run.dqkv.as<float>()[i];
    CHECK((i % 8 < 4 ? std::abs(got) < 1e-36f : got == without.dqkv.as<float>()[i]));
  }
  CHECK(run.dsinks.as<float>()[0] == 0);  // nothing that it moves changes y
  CHECK(run.dsinks.as<float>()[1] == 0);
}

// NaN in a key or value reaches all later positions, and may reach earlier ones of its strip of 16.
// which: 0 in a query, 1 in a key, 2 in a value. Head 1 of 2, sequence 0 of 2.
template <class Real>
void check_nan_shows(int64_t which, int64_t at) {
  INFO("in part " << which << " of position " << at);
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  const AttentionCase s{2, 140, 2, 2, 4};
  AttentionRun run = run_on<Real>(*device, s);
  run.qkv.as<Real>()[at * 24 + which * 8 + 4 + 2] = std::numeric_limits<Real>::quiet_NaN();
  run.forward(*device, s.form());
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
  run.backward(*device, s.form());
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
  const AttentionCase all{.B = 3, .T = 70, .H = 4, .K = 4, .D = 8, .rate = 0.4};
  const AttentionCase one{.B = 1, .T = 70, .H = 1, .K = 1, .D = 8, .rate = 0.4};
  const AttentionRun whole = run_on<float>(*device, all);
  AttentionRun piece = run_on<float>(*device, one);
  AttentionForm form = one.form();
  form.mask = all.form().mask;
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
      form.mask->first_sequence = b;
      form.mask->first_head = h;
      piece.forward(*device, form);
      piece.backward(*device, form);
      cut(whole.y, 1, piece.y, false);
      cut(whole.dqkv, 3, piece.dqkv, false);
    }
  }
}

}  // namespace
}  // namespace tplab
