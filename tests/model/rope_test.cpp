// The angles of rotary positions, against numbers from the code that their authors published.
#include "model/layers/rope.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "sim/machine/world.h"

namespace tplab {
namespace {

// Expected numbers are made in double by another program, a transcription of transformers'
// modeling_rope_utils.py. Theirs and ours are some ten operations on one number, of which a power
// and a logarithm amplify an error of the exponent, at most ln(500000) = 13 ulps.
bool is(double got, double expected) {
  return std::abs(got - expected) <= 100 * 0x1p-53 * std::abs(expected);
}

}  // namespace

TEST_CASE("rope: the plain frequencies are powers of theta, and linear scaling divides them") {
  const Rope plain{.theta = 10'000, .rotated = 8};
  const std::vector<double> f = rope_frequencies(plain);
  REQUIRE(f.size() == 4);
  for (size_t i = 0; i < 4; ++i) CHECK(is(f[i], std::pow(10.0, -static_cast<double>(i))));
  CHECK(rope_factor(plain) == 1);

  Rope linear = plain;
  linear.scaling = {.kind = Rope::Kind::linear, .factor = 8};
  for (size_t i = 0; i < 4; ++i) CHECK(is(rope_frequencies(linear)[i], f[i] / 8));
  CHECK(rope_factor(linear) == 1);
}

TEST_CASE("rope: Llama 3.1 keeps fast pairs, divides slow ones, and mixes those between") {
  Rope rope{.theta = 500'000, .rotated = 128};
  rope.scaling = {.kind = Rope::Kind::llama3,
                  .factor = 8,
                  .low_factor = 1,
                  .high_factor = 4,
                  .original_context = 8192};
  const std::vector<double> f = rope_frequencies(rope);
  REQUIRE(f.size() == 64);
  const auto plain = [](size_t i) { return std::pow(500'000, -static_cast<double>(i) / 64); };
  for (const size_t i : {0u, 1u, 28u}) CHECK(is(f[i], plain(i)));
  CHECK(is(f[1], 0.81461723385654472));
  CHECK(is(f[28], 0.0032114459947525913));
  CHECK(is(f[29], 0.0021665707635033591));  // the first of those between
  CHECK(is(f[32], 0.00052484616099295468));
  CHECK(is(f[34], 0.00017850781276799638));  // the last
  for (const size_t i : {35u, 63u}) CHECK(is(f[i], plain(i) / 8));
  CHECK(is(f[35], 9.5562123539646833e-05));
  CHECK(rope_factor(rope) == 1);
}

TEST_CASE(
    "rope: YaRN's ramp is over pairs, whole ones where it is truncated, and it has a factor") {
  Rope rope{.theta = 150'000, .rotated = 64};  // gpt-oss'
  rope.scaling = {.kind = Rope::Kind::yarn,
                  .factor = 32,
                  .beta_fast = 32,
                  .beta_slow = 1,
                  .truncate = false,
                  .original_context = 4096};
  const std::vector<double> f = rope_frequencies(rope);
  REQUIRE(f.size() == 32);
  CHECK(f[0] == 1);
  CHECK(is(f[8], 0.050813274815461475));  // the ramp is from 8.09 to 17.4
  CHECK(is(f[9], 0.031705696184663769));
  CHECK(is(f[12], 0.0067949594897322189));
  CHECK(is(f[17], 0.00012931870124506317));
  CHECK(is(f[18], 3.8308812373753384e-05));
  CHECK(is(f[31], 3.0235114281192144e-07));
  CHECK(is(rope_factor(rope), 1.3465735902799727));

  rope.scaling.truncate = true;  // from 8 to 18
  const std::vector<double> whole = rope_frequencies(rope);
  CHECK(is(whole[8], 0.050813274815461475));
  CHECK(is(whole[9], 0.031620752275346484));
  CHECK(is(whole[12], 0.0070157139105043878));
  CHECK(is(whole[17], 0.00022794779579512521));
  CHECK(is(whole[18], 3.8308812373753384e-05));

  rope.rotated = 8;  // the folder gpt-oss': a ramp shorter than a pair's distance from either end
  rope.scaling.truncate = false;
  CHECK(is(rope_frequencies(rope)[2], 0.00045648391922324086));
}

TEST_CASE("rope: the table has a position's cosines and then its sines, times the factor") {
  Rope rope{.theta = 100, .rotated = 4};
  rope.scaling = {.kind = Rope::Kind::yarn, .factor = 4, .original_context = 16};
  const std::vector<double> f = rope_frequencies(rope);
  const double factor = rope_factor(rope);
  CHECK(factor > 1.1);
  World({.tp = 1}).run([&](Rank& rank) {
    const Tensor<Invariant> table = rope_table(rank, rope, 5, DType::f64);
    REQUIRE(table.shape() == Shape{5, 4});
    for (int64_t p = 0; p < 5; ++p) {
      for (int64_t i = 0; i < 2; ++i) {
        const double angle = static_cast<double>(p) * f[static_cast<size_t>(i)];
        CHECK(is(table.array().as<double>()[p * 4 + i], factor * std::cos(angle)));
        CHECK(is(table.array().as<double>()[p * 4 + 2 + i], factor * std::sin(angle)));
      }
    }
    CHECK(rope_table(rank, rope, 5, DType::f32).array().dtype() == DType::f32);
    CHECK(rope_table(rank, rope, 5, DType::bf16).array().dtype() == DType::f32);
  });
}

}  // namespace tplab
