// Comparing arrays, and a mutant for each cause that guess_cause knows.
#include "verify/compare.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "sim/error.h"

using namespace tplab;

namespace {

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();
constexpr double kEndless = std::numeric_limits<double>::infinity();
using Catch::Contains;
using Catch::StartsWith;

// A different number for every index, and no pattern a bug could share.
double noise_at(int64_t i, double seed) {
  const double x = std::sin(12.9898 * static_cast<double>(i + 1) + seed) * 43758.5453;
  return x - std::floor(x) - 0.5;
}

std::vector<double> numbers(int64_t count, double seed) {
  std::vector<double> v;
  for (int64_t i = 0; i < count; ++i) v.push_back(noise_at(i, seed));
  return v;
}

// A row-parallel layer's output at tp 4: expected = the sum of four partials + bias.
struct Layer {
  int64_t tp = 4, rows = 6, columns = 24;
  Shape shape = {2, 3, 24};
  std::vector<double> bias = numbers(columns, 9), expected = std::vector<double>(144);
  std::vector<std::vector<double>> partials;

  Layer() {
    for (int64_t r = 0; r < tp; ++r) partials.push_back(numbers(144, static_cast<double>(r)));
    for (size_t i = 0; i < expected.size(); ++i) {
      expected[i] = bias[i % 24];
      for (const auto& partial : partials) expected[i] += partial[i];
    }
  }

  // got: what the mutant computes, element by element.
  template <class F>
  std::vector<double> mutant(F f) const {
    std::vector<double> got;
    for (size_t i = 0; i < expected.size(); ++i) got.push_back(f(i));
    return got;
  }

  Evidence evidence(const std::vector<double>& got) const {
    Evidence e{.got = got, .expected = expected, .shape = shape, .tp = tp, .bound = 1e-12};
    e.bias = bias;
    e.partials = {partials.begin(), partials.end()};
    return e;
  }
  std::string cause(const std::vector<double>& got) const { return guess_cause(evidence(got)); }
};

}  // namespace

TEST_CASE("compare: finds the largest error, its place, and the first beyond the bound") {
  const std::vector<double> expected = {1, 2, 3, -4, 5, 6}, got = {1, 2.25, 3, -4.5, 5, 6};
  const Difference d = compare(got, expected, {2, 3}, 0.1);
  CHECK(d.max_abs == 0.5);
  CHECK(d.max_rel == 0.5 / 6);
  CHECK(d.rms_rel == Approx(std::sqrt((0.0625 + 0.25) / 91)));
  CHECK(d.first_bad_index == 1);
  CHECK(d.worst_index == 3);
  CHECK(d.position == std::vector<int64_t>{1, 0});
  CHECK(d.got == -4.5);
  CHECK(d.expected == -4);
  CHECK_FALSE(d.has_nan);
  CHECK(d.describe() == "largest error 0.5 at [1, 0]: -4.5 where -4 was expected");
  CHECK(compare(got, expected, {6}, 0.3).first_bad_index == 3);
}

TEST_CASE(
    "compare: two numbers that differ are printed so that they differ, and equal ones alike") {
  const auto differ = [](double a, double b) {
    const auto [first, second] = told_apart(a, b);
    return first != second && std::stod(first) != std::stod(second);
  };
  CHECK(told_apart(0.25, 0.250012) == std::pair<std::string, std::string>("0.25", "0.250012"));
  CHECK(differ(0.1, std::nextafter(0.1, 1)));
  CHECK(differ(1e300, std::nextafter(1e300, 0)));
  CHECK(differ(1, 1 + 0x1p-52));
  CHECK(differ(-1, -1 + 1e-12));
  CHECK(told_apart(3, 3).first == "3");
  const Difference d = compare(std::vector<double>{1 + 1e-12}, std::vector<double>{1}, {1}, 0);
  CHECK(d.describe() == "largest error 1e-12 at [0]: 1.000000000001 where 1 was expected");
  const Difference both =
      compare(std::vector<double>{kNotANumber}, std::vector<double>{kNotANumber}, {1}, 0);
  CHECK(both.describe() == "not a number, first at [0], and in the reference too");
}

TEST_CASE("compare: equal arrays, equal infinities included, differ by exactly zero") {
  const std::vector<double> a = {0.5, -kEndless, 3, kEndless, -0.0};
  const Difference d = compare(a, a, {5});
  CHECK(d.max_abs == 0);
  CHECK(d.max_rel == 0);
  CHECK(d.rms_rel == 0);
  CHECK(d.first_bad_index == -1);
  CHECK(d.largest_expected == 3);
}

TEST_CASE("compare: a NaN on either side, or on both at one place, fails every bound") {
  const std::vector<double> clean = {1, 2, 3}, bad = {1, kNotANumber, 30};
  for (const Difference& d : {compare(bad, clean, {3}, 1e300), compare(clean, bad, {3}, 1e300),
                              compare(bad, bad, {3}, 1e300)}) {
    CHECK(!(d.max_abs <= 1e300));
    CHECK(!(d.max_rel <= 1e300));
    CHECK(!(d.rms_rel <= 1e300));
    CHECK(d.has_nan);
    CHECK(d.first_bad_index == 1);
    CHECK(d.worst_index == 1);
  }
  // A larger error before the NaN does not hide it.
  CHECK(compare(std::vector<double>{9, 2, kNotANumber}, clean, {3}).worst_index == 2);
}

TEST_CASE("compare: an infinity against anything but itself fails every bound") {
  for (const double other : {1.0, -kEndless}) {
    const std::vector<double> a = {1, kEndless}, b = {1, other};
    for (const Difference& d : {compare(a, b, {2}, 1e300), compare(b, a, {2}, 1e300)}) {
      CHECK(!(d.max_abs <= 1e300));
      CHECK(!(d.max_rel <= 1e300));
      CHECK(!(d.rms_rel <= 1e300));
      CHECK(d.first_bad_index == 1);
    }
  }
}

TEST_CASE("compare: an error against all zeros is infinite relative to them, not zero") {
  const Difference d = compare(std::vector<double>{0, 1e-30}, std::vector<double>{0, 0}, {2});
  CHECK(d.max_rel == kEndless);
  CHECK(d.rms_rel == kEndless);
}

TEST_CASE("compare: arrays that are not of the shape are refused") {
  const std::vector<double> two = {1, 2}, three = {1, 2, 3};
  CHECK_THROWS_AS(compare(two, three, {3}), Error);
  CHECK_THROWS_AS(compare(three, two, {3}), Error);
  CHECK_THROWS_AS(compare(two, two, {3}), Error);
}

TEST_CASE("guess_cause: a right result, rounding included, has no cause") {
  const Layer l;
  CHECK(l.cause(l.expected) == "no difference beyond rounding");
  CHECK(l.cause(l.mutant([&](size_t i) { return l.expected[i] + 9e-13; })) ==
        "no difference beyond rounding");
}

TEST_CASE("guess_cause: a bias added on every rank, not at all, or to one share") {
  const Layer l;
  const auto with_bias = [&](double k) {
    return l.cause(l.mutant([&](size_t i) { return l.expected[i] + k * l.bias[i % 24]; }));
  };
  CHECK_THAT(with_bias(3), StartsWith("off by exactly (tp-1) = 3 times the bias: it is added on "
                                      "every rank"));
  CHECK(with_bias(-1) == "the bias is missing");
  CHECK_THAT(with_bias(-0.75), StartsWith("only 1/tp of the bias"));
  CHECK(with_bias(0.3) == "off by 0.3 times the bias");
}

TEST_CASE("guess_cause: an unknown bias still shows as the same error in every row") {
  const Layer l;
  const auto got = l.mutant([&](size_t i) { return l.expected[i] + noise_at(int64_t(i % 24), 5); });
  CHECK_THAT(l.cause(got), StartsWith("every row is off by the same vector"));
}

TEST_CASE("guess_cause: one rank's partial, before or after the bias, is a missing all-reduce") {
  const Layer l;
  CHECK(l.cause(l.partials[2]) == "looks like rank 2's partial: the all-reduce is missing");
  CHECK(l.cause(l.mutant([&](size_t i) { return l.partials[0][i] + l.bias[i % 24]; })) ==
        "looks like rank 0's partial: the all-reduce is missing");
}

TEST_CASE("guess_cause: a sum that lacks one rank's partial") {
  const Layer l;
  CHECK(l.cause(l.mutant([&](size_t i) { return l.expected[i] - l.partials[1][i]; })) ==
        "rank 1's partial is missing from the sum");
}

TEST_CASE("guess_cause: copies that add up to the result are a missing all-reduce") {
  const Layer l;
  std::vector<std::vector<double>> copies = l.partials;
  for (const bool with_bias : {false, true}) {
    if (with_bias)
      for (auto& copy : copies)
        for (size_t i = 0; i < copy.size(); ++i) copy[i] += l.bias[i % 24];
    else
      for (size_t i = 0; i < copies[0].size(); ++i) copies[0][i] += l.bias[i % 24];
    Evidence e = l.evidence(copies[0]);
    e.partials.clear();
    e.replicas = {copies.begin(), copies.end()};
    CHECK_THAT(guess_cause(e), StartsWith("each rank holds its own partial") &&
                                   Contains("all-reduce is missing; ranks 1, 2, 3 differ"));
    if (!with_bias) copies = l.partials;
  }
}

TEST_CASE("guess_cause: a result summed twice, averaged, scaled or never written") {
  const Layer l;
  const auto times = [&](double k) {
    return l.cause(l.mutant([&](size_t i) { return k * l.expected[i]; }));
  };
  CHECK_THAT(times(4), StartsWith("scaled by tp = 4"));
  CHECK_THAT(times(0.25), StartsWith("scaled by 1/tp = 1/4"));
  CHECK(times(-1.5) == "scaled by -1.5");
  CHECK_THAT(times(0), StartsWith("all zeros"));
}

TEST_CASE("guess_cause: shards in the wrong order, of columns or of heads") {
  const Layer l;
  const auto got = l.mutant([&](size_t i) {
    const size_t from[] = {1, 0, 3, 2}, column = i % 24;
    return l.expected[i - column + from[column / 6] * 6 + column % 6];
  });
  CHECK_THAT(l.cause(got), StartsWith("shards swapped: block 0 holds what block 1 should") &&
                               Contains("1, 0, 3, 2"));

  // Every rank holds rank 0's shard, as when all are seeded alike.
  const auto alike = l.mutant([&](size_t i) { return l.expected[i - i % 24 + i % 6]; });
  CHECK_THAT(l.cause(alike), StartsWith("a shard stands in another's place: block 1 holds what "
                                        "block 0 should"));

  const Shape heads = {2, 4, 3, 6};  // [B, H, T, D], 2 heads on each of 2 ranks
  const std::vector<double> expected = numbers(144, 3);
  std::vector<double> swapped;
  for (size_t i = 0; i < expected.size(); ++i)
    swapped.push_back(expected[i / 72 * 72 + (i % 72 + 36) % 72]);
  CHECK_THAT(guess_cause({.got = swapped,
                          .expected = expected,
                          .shape = heads,
                          .tp = 2,
                          .bound = 1e-12,
                          .shard_axis = 1}),
             StartsWith("shards swapped: block 0 holds what block 1 should"));
}

TEST_CASE("guess_cause: a fused QKV that was split contiguously") {
  const Layer l;  // 24 columns: q, k and v of 8, each 2 for each of 4 ranks
  const auto got = l.mutant([&](size_t i) {
    const size_t column = i % 24, part = column / 8, rank = column % 8 / 2;
    return l.expected[i - column + (3 * rank + part) * 2 + column % 2];
  });
  CHECK(l.cause(got) == "the fused [Q|K|V] is split contiguously instead of by head");
}

TEST_CASE("guess_cause: a NaN is reported where it first stands") {
  const Layer l;
  auto got = l.expected;
  got[24 * 4 + 7] = got[24 * 5] = kNotANumber;
  CHECK_THAT(l.cause(got), StartsWith("first NaN at [1, 1, 7], where "));
}

TEST_CASE("guess_cause: an error in some ranks' columns only names those ranks") {
  const Layer l;
  const auto got = l.mutant(
      [&](size_t i) { return l.expected[i] + (i % 24 / 6 == 1 ? noise_at(int64_t(i), 7) : 0); });
  CHECK(l.cause(got) == "only rank 1's columns [6, 12) differ");
}

TEST_CASE("guess_cause: copies that differ name the ranks, even where the first copy is right") {
  const Layer l;
  auto wrong = l.expected;
  wrong[30] += 1;
  Evidence e = l.evidence(l.expected);
  e.replicas = {l.expected, l.expected, wrong, l.expected};
  CHECK_THAT(guess_cause(e),
             StartsWith("the first copy is right; rank 2 differs from rank 0: at [0, 1, 6]"));
}

TEST_CASE("guess_cause: an error that fits nothing is said to fit nothing") {
  const Layer l;
  const auto got = l.mutant([&](size_t i) { return l.expected[i] + noise_at(int64_t(i), 7); });
  CHECK_THAT(l.cause(got), StartsWith("no known pattern: 144 of 144 values differ; largest error"));
  // An error twice the bound is too near rounding to be explained by anything.
  CHECK_THAT(l.cause(l.mutant([&](size_t i) { return l.expected[i] + 2e-12; })),
             StartsWith("no known pattern"));
}

TEST_CASE("guess_cause: with f32's bound the same causes are found") {
  const Layer l;
  const auto got =
      l.mutant([&](size_t i) { return double(float(l.expected[i] + 3 * l.bias[i % 24])); });
  Evidence e = l.evidence(got);
  e.bound = 1e-6;
  CHECK_THAT(guess_cause(e), StartsWith("off by exactly (tp-1) = 3 times the bias"));
}

TEST_CASE("guess_cause: a masked site's -inf hinders no guess") {
  std::vector<double> expected = numbers(16, 1), got;
  for (size_t i = 0; i < 16; ++i) {
    if (i % 4 > i / 4) expected[i] = -kEndless;
    got.push_back(2 * expected[i]);
  }
  CHECK_THAT(guess_cause({.got = got, .expected = expected, .shape = {4, 4}, .tp = 2}),
             StartsWith("scaled by tp = 2"));
}

TEST_CASE("guess_cause: evidence of the wrong shape is refused") {
  const Layer l;
  Evidence e = l.evidence(l.expected);
  e.bias = e.bias.first(3);
  CHECK_THROWS_AS(guess_cause(e), Error);
  e = l.evidence(l.expected);
  e.replicas = {e.bias};
  CHECK_THROWS_AS(guess_cause(e), Error);
  e = l.evidence(l.expected);
  e.shard_axis = 3;
  CHECK_THROWS_AS(guess_cause(e), Error);
}
