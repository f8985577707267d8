// What a run is held against: whole parameters, and bounds of rounding.
#include "verify/truth.h"

#include <catch2/catch.hpp>

#include "model/flat_layout.h"
#include "model/init.h"
#include "sim/error.h"

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
  for (const ParameterInfo& p : parameters(kDeep)) {
    count += weights(p.name).size();
    const auto row = static_cast<size_t>(&plan.row(p.name) - plan.rows().data());
    REQUIRE(plan.rows()[row].name == p.name);
    REQUIRE(layout.entry(row).row == row);
  }
  CHECK(count == 10'000 * (2 + 2 + 6 + 2 + 2 + 2) + 2 + 2 + 2);
  CHECK(weights("no such parameter").empty());
  for (const char* none : {"transformer.h.10000.ln_1.weight", "transformer.h.x.ln_1.weight", "x"})
    CHECK_THROWS_AS(plan.row(none), Error);
}

TEST_CASE("Truth: a bound of a dtype that was not drawn for is another's by their roundoffs") {
  GptConfig config = kDeep;
  config.n_layer = 2;
  config.n_embd = 8;
  const auto source = initial_weights(config, {.draw_biases = true});
  const Tokens tokens{1, 2, {0, 1}};
  const auto none = [](const std::string&) {};
  const Truth both(*source, tokens, {1, 0}, {DType::f64, DType::f32}, none);
  const Truth f32(*source, tokens, {1, 0}, {DType::f32}, none);
  const Bound drawn = both.bound("head/logits", DType::f64),
              scaled = f32.bound("head/logits", DType::f64);
  CHECK(f32.bound("head/logits", DType::f32).rms == both.bound("head/logits", DType::f32).rms);
  CHECK(scaled.rms == 0x1p-29 * f32.bound("head/logits", DType::f32).rms);
  CHECK(drawn.rms < 3 * scaled.rms);
  CHECK(drawn.rms > scaled.rms / 3);
  CHECK(f32.loss_bound(DType::f32) > 2 * f32.bound("head/logits", DType::f32).max_abs);
}
