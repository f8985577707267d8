// What a run is held against: whole parameters, and bounds of rounding.
#include "verify/truth.h"

#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>

#include "model/flat_layout.h"
#include "sim/error.h"
#include "tests/model/small_gpt.h"
#include "verify/compare.h"

using namespace tplab;

namespace {

// 10,000 layers, the most a model may have, each of a few numbers.
const GptConfig kDeep{
    .n_layer = 10'000, .n_head = 1, .n_embd = 1, .block_size = 2, .vocab_size = 2, .n_inner = 1};

}  // namespace

// A list of all parameters for each of them would take minutes here, and CTest stops it.
TEST_CASE("Truth: 10,000 layers are read one parameter at a time, each without a list of all") {
  const auto source = initial_weights(kDeep, {.draw_biases = true});
  size_t count = 0;
  const Weights weights = whole_parameters(*source);
  const ShardPlan plan(kDeep, 1);
  const FlatLayout layout(plan, 0, 1);
  for (const NamedTensor& p : named_tensors(kDeep)) {
    count += weights(p.name).size();
    const size_t row = plan.index_of(p.id);
    REQUIRE(plan.rows()[row].tensor == p.name);
    REQUIRE(layout.entry(row).row == row);
  }
  CHECK(count == 10'000 * (2 + 2 + 6 + 2 + 2 + 2) + 2 + 2 + 2);
  CHECK(weights("no such parameter").empty());
  CHECK_THROWS_AS(plan.row(weight_of(Role::q, {10'000, 0})), Error);
  CHECK_THROWS_AS(plan.row(weight_of(Role::head)), Error);
}

TEST_CASE("Truth: a bound of a dtype that was not drawn for is another's by their roundoffs") {
  GptConfig config = kDeep;
  config.n_layer = 2;
  config.n_embd = 8;
  const auto source = initial_weights(config, {.draw_biases = true});
  const Tokens tokens{1, 2, {0, 1}};
  const auto none = [](const std::string&) {};
  const Truth both = forward_truth(*source, {tokens, {1, 0}}, {{DType::f64, DType::f32}}, none);
  const Truth f32 = forward_truth(*source, {tokens, {1, 0}}, {{DType::f32}}, none);
  const Bound drawn = both.bound("head/logits", DType::f64),
              scaled = f32.bound("head/logits", DType::f64);
  CHECK(f32.bound("head/logits", DType::f32).rms == both.bound("head/logits", DType::f32).rms);
  CHECK(scaled.rms == 0x1p-29 * f32.bound("head/logits", DType::f32).rms);
  CHECK(drawn.rms < 3 * scaled.rms);
  CHECK(drawn.rms > scaled.rms / 3);
  CHECK(f32.bound("loss", DType::f32).max_abs > 2 * f32.bound("head/logits", DType::f32).max_abs);
}

TEST_CASE(
    "Truth: a loss may be off by twice what its logits are, and is where its target is least") {
  const auto loss = [](double target, double other) {
    return std::log(std::exp(target) + std::exp(other)) - target;
  };
  constexpr double kOff = 0.25;
  const double least = loss(0, 30), moved = loss(-kOff, 30 + kOff) - least;
  const Bound bound = loss_bound({.max_abs = kOff}, least, 2, 1, DType::f64);
  CHECK(moved > 1.999 * kOff);
  CHECK(moved <= bound.max_abs);
  CHECK(bound.max_abs < 2.001 * kOff);
}

// The nearest things to being right that people ship: none is within what rounding may do.
TEST_CASE("Truth: another GELU, epsilon, scale or a weight kept in bf16 is outside f32's bounds") {
  const auto source = testing::small_weights();
  const Weights right = whole_parameters(*source);
  const Tokens tokens{1, 8, {3, 14, 15, 9, 26, 53, 58, 9}};
  const Truth truth =
      forward_truth(*source, {tokens, {}}, {{DType::f32}}, [](const std::string&) {});
  const auto over_bound = [&](const GptConfig& config, const Weights& weights) {
    const TokenBatch batch{1, 8, {tokens.ids.begin(), tokens.ids.end()}, {}};
    double most = 0;
    Reference<double>(config, weights).forward(batch, [&](const Activation& a) {
      const Bound bound = truth.bound(a.site, DType::f32);
      const Difference d = compare(a.values, truth.find(a.site)->values, a.shape);
      most = std::max({most, d.rms_rel / bound.rms, d.max_abs / bound.max_abs});
    });
    return most;
  };
  const auto changed = [&](const std::string& name, auto change) -> Weights {
    return [=](const std::string& wanted) {
      std::vector<double> values = right(wanted);
      if (wanted == name)
        for (double& v : values) v = change(v);
      return values;
    };
  };
  constexpr double kCaughtBy = 5;  // they are 13, 9700, 10 and 31 times their bounds
  const GptConfig config = gpt_config(source->architecture());
  CHECK(over_bound(config, right) == 0);
  GptConfig other = config;
  other.gelu = Gelu::tanh;
  CHECK(over_bound(other, right) > kCaughtBy);
  other = config;
  other.layer_norm_eps = 1e-6;
  CHECK(over_bound(other, right) > kCaughtBy);
  const std::string qkv = "transformer.h.1.attn.c_attn.weight";
  CHECK(over_bound(config, changed(qkv, [](double v) { return v * (1 + 1e-5); })) > kCaughtBy);
  const auto as_bf16 = [](double v) {
    const auto bits = std::bit_cast<uint32_t>(static_cast<float>(v));
    return double{std::bit_cast<float>((bits + 0x8000) & 0xFFFF0000)};
  };
  CHECK(over_bound(config, changed("transformer.h.1.ln_2.bias", as_bf16)) > kCaughtBy);
}
