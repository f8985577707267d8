// Attention's kernels for GPUs, run on the CPU: every form, forward, backward and over a cache,
// within the bounds of exact_attention.h.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <limits>

#include "sim/cuda/host/grid.h"
#include "sim/cuda/host/host_runtime.h"
#include "tests/sim/exact_attention.h"

namespace tplab {
namespace {

template <class Real>
using Accumulated = std::conditional_t<std::is_same_v<Real, bf16>, float, Real>;

// What the bounds are told of numbers that are stored as Real.
template <class Real>
constexpr Exact kStored = std::is_same_v<Real, bf16> ? unit_roundoff(DType::bf16) : 0;

// Arrays of a device whose first number is `at` numbers from where 16 bytes begin.
template <class Real>
class Places {
 public:
  Places(Device& device, int64_t at) : device_(device), at_(at) {}

  template <class Number = Real>
  Array undefined(const Shape& shape) const {
    return device_.allocate(dtype_of<Number>, {at_ + shape.count()}).part(at_, shape);
  }
  Array filled(const Shape& shape, int seed, double size = 1) const {
    Array x = undefined(shape);
    for (int64_t i = 0; i < x.count(); ++i)
      x.as<Real>()[i] = Real(static_cast<Accumulated<Real>>(size * number_at(i, seed)));
    return x;
  }

 private:
  Device& device_;
  const int64_t at_;
};

// The same numbers as the reference computes with them.
template <class Real>
Array widened(Device& device, const Array& x) {
  if constexpr (!std::is_same_v<Real, bf16>) return x;
  if (!x.present()) return x;
  Array y = device.allocate(DType::f32, x.shape());
  for (int64_t i = 0; i < x.count(); ++i) y.as<float>()[i] = x.as<bf16>()[i];
  return y;
}

struct TrainingRun {
  Array qkv, sinks, dy, y, stats, dqkv, dsinks;
};

template <class Real>
TrainingRun train(Device& device, const AttentionCase& s, int64_t at) {
  using Sum = Accumulated<Real>;
  const Places<Real> places(device, at);
  TrainingRun run{
      .qkv = places.filled({s.B, s.T, s.qkv_width()}, 1, 2),
      .sinks = s.sinks ? places.filled({s.H}, 6) : Array(),
      .dy = places.filled({s.B, s.T, s.width()}, 2),
      .y = places.undefined({s.B, s.T, s.width()}),
      .stats = places.template undefined<Sum>({s.B, s.H, s.T, 2}),
      .dqkv = places.undefined({s.B, s.T, s.qkv_width()}),
      .dsinks = s.sinks ? Places<Sum>(device, at).filled({s.H}, 7) : Array(),
  };
  device.run(op::CausalAttention{s.form(), run.qkv, run.sinks, run.y, run.stats});
  device.run(op::CausalAttentionBackward{s.form(), run.qkv, run.sinks, run.y, run.stats, run.dy,
                                         run.dqkv, run.dsinks});
  device.wait();  // throws where a kernel wrote around an array
  return run;
}

std::string text_of(const AttentionCase& s, int64_t at) {
  return fmt::format(
      "[{}, {}], {} heads of {} on {}, window {}, cap {}, sinks {}, rate {}, scale {}, begins at "
      "{}",
      s.B, s.T, s.H, s.D, s.K, s.window, s.softcap, s.sinks, s.rate, s.scale, at);
}

// Head sizes of each kernel, whole and padded; lengths that are no multiple of a tile, and shorter
// than one; windows shorter and longer than a tile; dropout's blocks of four whole and cut.
std::vector<AttentionCase> training_cases() {
  std::vector<AttentionCase> cases;
  for (const int64_t D : {1, 16, 20, 64, 80, 96, 128, 256, 272})
    cases.push_back({.B = 1, .T = 37, .H = 1, .K = 1, .D = D});
  cases.push_back({.B = 1, .T = 1, .H = 3, .K = 3, .D = 64});
  cases.push_back({.B = 2, .T = 130, .H = 1, .K = 1, .D = 64});
  cases.push_back({.B = 1, .T = 150, .H = 2, .K = 1, .D = 128, .window = 70});
  cases.push_back({.B = 1, .T = 200, .H = 2, .K = 1, .D = 16, .window = 5, .rate = 0.2});
  cases.push_back({.B = 2, .T = 67, .H = 2, .K = 2, .D = 16, .rate = 0.2});
  cases.push_back({.B = 1, .T = 68, .H = 2, .K = 1, .D = 72, .softcap = 0.75, .rate = 0.5});
  cases.push_back({.B = 1, .T = 70, .H = 1, .K = 1, .D = 256, .sinks = true, .rate = 0.2});
  for (const int64_t D : {12, 64, 128})
    cases.push_back({.B = 2,
                     .T = 75,
                     .H = 6,
                     .K = 2,
                     .D = D,
                     .window = 37,
                     .softcap = 1.5,
                     .sinks = true,
                     .rate = 0.2,
                     .scale = 0.7});
  return cases;
}

TEMPLATE_TEST_CASE("cuda-host attention: every form within its bounds, forward and backward", "",
                   float, double, bf16) {
  using Real = TestType;
  using Sum = Accumulated<Real>;
  const auto device = make_cuda_host_device();
  for (const AttentionCase& s : training_cases()) {
    for (const int64_t at : {0, 3}) {
      if (at != 0 && s.T > 100) continue;
      INFO(text_of(s, at));
      const TrainingRun run = train<Real>(*device, s, at);
      const Array qkv = widened<Real>(*device, run.qkv), sinks = widened<Real>(*device, run.sinks);
      const ExactAttention<Sum> exact(s, qkv, sinks, widened<Real>(*device, run.dy), kStored<Real>);
      CHECK(wrong_numbers<Real>(run.y, exact.y) == 0);
      CHECK(wrong_numbers<Sum>(run.stats, exact.stats) == 0);
      CHECK(wrong_numbers<Real>(run.dqkv, exact.dqkv) == 0);
      if (!s.sinks) continue;
      const Array before = Places<Sum>(*device, 0).filled({s.H}, 7);
      CHECK(wrong_numbers<Sum>(run.dsinks, exact.dsinks, before) == 0);
    }
  }
}

TEST_CASE("cuda-host attention: the same bits in whatever order threads run") {
  const auto device = make_cuda_host_device();
  for (const AttentionCase& s : training_cases()) {
    if (s.H == 1 || s.T > 100) continue;
    INFO(text_of(s, 0));
    std::vector<Array> first;
    for (const uint64_t seed : {1, 2, 3}) {
      cuda_host::restart_orders(seed);
      const TrainingRun run = train<bf16>(*device, s, 0);
      std::vector<Array> results = {run.y, run.stats, run.dqkv};
      if (s.sinks) results.push_back(run.dsinks);
      if (first.empty()) first = results;
      CHECK(same_bits(first, results));
    }
  }
}

// Scores are whole numbers times a power of two, exact in f32: what is left is the softmax.
TEMPLATE_TEST_CASE("cuda-host attention: scores of any finite size", "", float, double, bf16) {
  using Real = TestType;
  constexpr int64_t T = 40, D = 16;
  const auto device = make_cuda_host_device();
  const Places<Real> places(*device, 0);
  for (const double size : {1.0, 0x1p6, 0x1p20, 0x1p40}) {
    INFO("queries and keys to " << 4 * size);
    Array qkv = places.undefined({1, T, 3 * D}), y = places.undefined({1, T, D});
    Array stats = places.template undefined<Accumulated<Real>>({1, 1, T, 2});
    const auto number = [&](int64_t t, int64_t part, int64_t d) {
      const double x = number_at((t * 3 + part) * D + d, 11);
      return part == 2 ? static_cast<double>(bf16(x)) : std::round(4 * x) * size;
    };
    for (int64_t i = 0; i < qkv.count(); ++i)
      qkv.as<Real>()[i] =
          Real(static_cast<Accumulated<Real>>(number(i / (3 * D), i / D % 3, i % D)));
    device->run(op::CausalAttention{{.heads = 1, .kv_heads = 1}, qkv, {}, y, stats});
    int64_t wrong = 0;
    for (int64_t t = 0; t < T; ++t) {
      std::vector<Exact> weights;
      Exact largest = -std::numeric_limits<Exact>::infinity(), sum = 0;
      for (int64_t j = 0; j <= t; ++j) {
        Exact u = 0;
        for (int64_t d = 0; d < D; ++d) u += static_cast<Exact>(number(t, 0, d)) * number(j, 1, d);
        weights.push_back(u);
        largest = std::max(largest, u);
      }
      for (Exact& w : weights) sum += w = std::exp((w - largest) / std::sqrt(Exact(D)));
      for (int64_t d = 0; d < D; ++d) {
        Exact exact = 0, size_of_terms = 0;
        for (int64_t j = 0; j <= t; ++j) {
          const Exact term = weights[static_cast<size_t>(j)] / sum * number(j, 2, d);
          exact += term;
          size_of_terms += std::abs(term) + 0x1p-120L;
        }
        // Exponents that matter are below 90, so off by 3u 90; exp, sums and quotient 8u and γ_T;
        // p and y are stored.
        const double u = unit_roundoff(dtype_of<Accumulated<Real>>);
        const double off = 2 * (3 * 90 + 8) * u + gamma_of<Accumulated<Real>>(T);
        const Exact bound = (off + 2.1L * unit_roundoff(dtype_of<Real>)) * size_of_terms;
        wrong += !within(static_cast<double>(y.as<Real>()[t * D + d]), exact,
                         static_cast<double>(bound));
      }
    }
    CHECK(wrong == 0);
  }
}

// --- Over a cache.

struct CachedCase {
  AttentionCase whole;        // of T positions in all
  std::vector<int64_t> past;  // of each sequence
  int64_t steps;              // new positions
  int64_t room = 5;           // of the cache behind them
};

// Of sequences [B, T, ..] the rows from past[b] on.
template <class Real>
Array rows_from(const Places<Real>& places, const Array& x, const CachedCase& c) {
  const int64_t B = x.shape()[0], T = x.shape()[1], width = x.shape()[2];
  Array y = places.undefined({B, c.steps, width});
  for (int64_t b = 0; b < B; ++b)
    for (int64_t i = 0; i < c.steps * width; ++i)
      y.as<Real>()[b * c.steps * width + i] =
          x.as<Real>()[(b * T + c.past[static_cast<size_t>(b)]) * width + i];
  return y;
}

// Keys (part 0) or values (part 1), filled up to `upto` of each sequence's positions; NaN behind.
template <class Real>
Array cache_of(const Places<Real>& places, const Array& qkv, const CachedCase& c, int64_t part,
               int64_t more) {
  const AttentionCase& s = c.whole;
  const int64_t S = *std::max_element(c.past.begin(), c.past.end()) + c.steps + c.room;
  Array cache = places.undefined({s.B, s.K, S, s.D});
  for (int64_t i = 0; i < cache.count(); ++i) {
    const int64_t b = i / (s.K * S * s.D), h = i / (S * s.D) % s.K, t = i / s.D % S, d = i % s.D;
    const int64_t head = s.H + part * s.K + h;
    cache.as<Real>()[i] = t < c.past[static_cast<size_t>(b)] + more
                              ? qkv.as<Real>()[(b * s.T + t) * s.qkv_width() + head * s.D + d]
                              : Real(std::numeric_limits<Accumulated<Real>>::quiet_NaN());
  }
  return cache;
}

std::string text_of(const CachedCase& c) {
  return fmt::format("{} steps behind {}: {}", c.steps, c.past[0], text_of(c.whole, 0));
}

// One query and few, of a part of a cache, of some and of many; heads that share keys, more of them
// than a tile has rows; queries enough for whole tiles; sequences of different lengths.
std::vector<CachedCase> cached_cases() {
  const AttentionCase plain{.B = 1, .T = 0, .H = 2, .K = 2, .D = 64};
  std::vector<CachedCase> cases = {{plain, {0}, 1},        {plain, {63}, 1}, {plain, {64}, 1},
                                   {plain, {300}, 1, 500}, {plain, {77}, 5}, {plain, {0}, 70}};
  cases.push_back({{.B = 2, .T = 0, .H = 4, .K = 1, .D = 128, .sinks = true}, {150, 3}, 1});
  cases.push_back({{.B = 2, .T = 0, .H = 2, .K = 1, .D = 16, .window = 20}, {90, 200}, 3});
  cases.push_back({{.B = 1, .T = 0, .H = 20, .K = 1, .D = 80, .softcap = 1.5}, {70}, 2});
  cases.push_back({{.B = 1, .T = 0, .H = 2, .K = 2, .D = 256, .scale = 0.3}, {100}, 1});
  cases.push_back(
      {{.B = 2, .T = 0, .H = 4, .K = 2, .D = 64, .window = 30, .sinks = true}, {0, 50}, 40});
  cases.push_back({{.B = 1, .T = 0, .H = 2, .K = 1, .D = 20, .sinks = true}, {40}, 2});
  for (CachedCase& c : cases) c.whole.T = *std::max_element(c.past.begin(), c.past.end()) + c.steps;
  return cases;
}

template <class Real>
struct CachedRun {
  Array qkv, sinks, fresh, keys, values, filled, y;
  CachedRun(Device& device, const CachedCase& c, int64_t at) {
    const AttentionCase& s = c.whole;
    const Places<Real> places(device, at);
    qkv = places.filled({s.B, s.T, s.qkv_width()}, 1, 2);
    if (s.sinks) sinks = places.filled({s.H}, 6);
    fresh = rows_from(places, qkv, c);
    keys = cache_of(places, qkv, c, 0, 0);
    values = cache_of(places, qkv, c, 1, 0);
    filled = ids_of(device, std::vector<int32_t>(c.past.begin(), c.past.end()));
    y = places.undefined({s.B, c.steps, s.width()});
  }
  void run(Device& device, const CachedCase& c, int64_t at_most) const {
    device.run(
        op::CachedAttention{c.whole.form(), fresh, sinks, {filled, at_most}, keys, values, y});
    device.wait();
  }
};

TEMPLATE_TEST_CASE("cuda-host attention over a cache: stores what is new and is as without a cache",
                   "", float, double, bf16) {
  using Real = TestType;
  const auto device = make_cuda_host_device();
  for (const CachedCase& c : cached_cases()) {
    for (const int64_t at : {0, 1}) {
      INFO(text_of(c) << ", begins at " << at);
      const CachedRun<Real> run(*device, c, at);
      const int64_t most = *std::max_element(c.past.begin(), c.past.end());
      run.run(*device, c, most);
      const Places<Real> places(*device, 0);
      const Array keys = cache_of(places, run.qkv, c, 0, c.steps);
      const Array values = cache_of(places, run.qkv, c, 1, c.steps);
      CHECK(same_bits(run.keys, keys));
      CHECK(same_bits(run.values, values));

      const Array qkv = widened<Real>(*device, run.qkv), sinks = widened<Real>(*device, run.sinks);
      const ExactAttention<Accumulated<Real>> exact(c.whole, qkv, sinks, {}, kStored<Real>);
      std::vector<Bounded> rows;
      for (int64_t b = 0; b < c.whole.B; ++b) {
        const auto from =
            exact.y.begin() + (b * c.whole.T + c.past[static_cast<size_t>(b)]) * c.whole.width();
        rows.insert(rows.end(), from, from + c.steps * c.whole.width());
      }
      CHECK(wrong_numbers<Real>(run.y, rows) == 0);
    }
  }
}

TEST_CASE("cuda-host attention over a cache: where it begins is read on the device") {
  const auto device = make_cuda_host_device();
  CachedCase c = cached_cases()[3];
  const int64_t furthest = c.past[0];
  for (const int64_t past : {int64_t{0}, int64_t{100}, furthest}) {
    c.past = {past};
    c.room = 500 + furthest - past;  // of one capacity
    const CachedRun<bf16> told(*device, c, 0), replay(*device, c, 0);
    told.run(*device, c, past);
    replay.run(*device, c, furthest);  // as a captured step is told
    CHECK(same_bits({told.y, told.keys, told.values}, {replay.y, replay.keys, replay.values}));
  }
}

TEST_CASE("cuda-host attention over a cache: the same bits in whatever order threads run") {
  const auto device = make_cuda_host_device();
  for (const CachedCase& c : cached_cases()) {
    INFO(text_of(c));
    std::vector<Array> first;
    for (const uint64_t seed : {1, 2, 3}) {
      cuda_host::restart_orders(seed);
      const CachedRun<bf16> run(*device, c, 0);
      run.run(*device, c, *std::max_element(c.past.begin(), c.past.end()));
      if (first.empty()) first = {run.y};
      CHECK(same_bits(first, {run.y}));
    }
  }
}

TEST_CASE(
    "cuda-host attention: a value that is not finite reaches who sees its key, and no other") {
  const auto device = make_cuda_host_device();
  for (const bool cached : {false, true}) {
    for (const int64_t D : {16, 64, 128, 256}) {
      // In a tile's middle: rows on both sides of it. With a window, later rows see it no more.
      const int64_t T = cached ? 24 : 70, bad = cached ? 13 : 37, window = 11;
      const Array clean = numbers<bf16>(*device, {1, T, 3 * D}, 1);
      const Array qkv = numbers<bf16>(*device, {1, T, 3 * D}, 1);
      qkv.as<bf16>()[bad * 3 * D + 2 * D + 3] = bf16(std::numeric_limits<float>::quiet_NaN());
      qkv.as<bf16>()[bad * 3 * D + 2 * D + 5] = bf16(-std::numeric_limits<float>::infinity());
      const auto attend = [&](const Array& x) {
        const AttentionForm form{.heads = 1, .kv_heads = 1, .scale = 0.2, .window = window};
        const Array y = device->allocate(DType::bf16, {1, T, D});
        if (cached) {
          const Array keys = numbers<bf16>(*device, {1, 1, T, D}, 2),
                      values = numbers<bf16>(*device, {1, 1, T, D}, 3);
          device->run(op::CachedAttention{form, x, {}, {ids_of(*device, {0}), 0}, keys, values, y});
        } else {
          device->run(
              op::CausalAttention{form, x, {}, y, device->allocate(DType::f32, {1, 1, T, 2})});
        }
        device->wait();
        return y;
      };
      const Array want = attend(clean), got = attend(qkv);
      int64_t wrong = 0;
      for (int64_t i = 0; i < got.count(); ++i) {
        const int64_t t = i / D, d = i % D;
        const float a = static_cast<float>(want.as<bf16>()[i]),
                    b = static_cast<float>(got.as<bf16>()[i]);
        const bool sees = t >= bad && t < bad + window && (d == 3 || d == 5);
        wrong += sees ? std::isfinite(b) : !(a == b) && !(t >= bad && t < bad + window);
        wrong += !sees && !std::isfinite(b);
      }
      INFO((cached ? "cached, " : "") << D);
      CHECK(wrong == 0);
    }
  }
}

}  // namespace
}  // namespace tplab
