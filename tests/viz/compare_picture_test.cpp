// Ways of splitting, against numbers worked out by hand.
#include "viz/compare_picture.h"

#include <catch2/catch.hpp>

#include "model/init.h"
#include "sim/error.h"

using namespace tplab;
using Catch::Contains;

namespace {

// B T = 16; S = B T C = 256 numbers, 1024 bytes in f32.
const GptConfig kConfig{.n_layer = 4,
                        .n_head = 4,
                        .n_embd = 16,
                        .block_size = 8,
                        .vocab_size = 50,
                        .n_inner = 64,
                        .bias = true};
constexpr int64_t kStream = 1024;

StepOptions step(int tp) {
  StepOptions options;
  options.tp = tp, options.batch = 2, options.seq = 8;
  return options;
}

Comparison compared(const StepOptions& options) {
  return compare_schemes(*initial_weights(kConfig, {.seed = 1}), options, "m");
}

TEST_CASE("compare: a pipeline hands on B T C each way, and its ends sum a tied matrix") {
  const Scheme scheme = pipeline_scheme(kConfig, step(4));
  const int64_t table = int64_t{50} * 16 * 4;  // two ranks: each sends 2 (1/2) of it
  CHECK(scheme.phases[0].wire_bytes + scheme.phases[1].wire_bytes == kStream + table);
  CHECK_THAT(scheme.note, Contains("75 %"));  // 3 of 4 slots
  GptConfig untied = kConfig;
  untied.tied_head = false;  // an inner stage now sends most: on and back
  const Scheme inner = pipeline_scheme(untied, step(4));
  CHECK(inner.phases[0] == SchemePhase{1, kStream});
  CHECK(inner.phases[1] == SchemePhase{1, kStream});
  StepOptions three = step(4);
  three.batch = 6, three.trainer.accumulation = 3;
  CHECK(pipeline_scheme(untied, three).phases[0] == SchemePhase{3, 3 * kStream});
  CHECK_THAT(pipeline_scheme(untied, three).note, Contains("50 %"));  // 3 of 6
}

// Gathers of 3 S, S, S F/C = 4 S and S a block, of which a rank of 2 sends the half; the logits'
// 16 x 128; all-reduces of S, all of which it sends, in f32.
TEST_CASE("compare: naive splitting gathers every linear's output") {
  const Scheme scheme = naive_scheme(kConfig, step(2));
  CHECK(scheme.phases[0] ==
        SchemePhase{4 * 4 + 2, 4 * 9 * kStream / 2 + 16 * 128 * 4 / 2 + kStream});
  const int64_t norms = (2 * 4 + 1) * 2 * 16 * 4;
  CHECK(scheme.phases[1] == SchemePhase{4 * 4 + 2, 4 * 9 * kStream / 2 + kStream + norms});
  CHECK(scheme.phases[2].sync_points == 1);
}

TEST_CASE("compare: TP is what the papers count, and SP cuts each all-reduce in two") {
  const Comparison comparison = compared(step(2));
  REQUIRE(comparison.schemes.size() == 4);
  const Scheme &tp = comparison.schemes[0], &sp = comparison.schemes[1];
  CHECK(tp.counted);
  CHECK(tp.phases[0].sync_points == 2 * 4 + 1 + 3);
  CHECK(tp.phases[1] == SchemePhase{2 * 4 + 1, 9 * kStream});
  CHECK(sp.phases[0].sync_points == 1 + (2 * 4 + 1) + 2 * 4 + 3);
  CHECK(sp.activation_bytes < tp.activation_bytes);
  CHECK(comparison.schemes[3].wire_bytes() > tp.wire_bytes());
}

TEST_CASE("compare: what cannot be split says why in its row, and the others stay") {
  const Comparison three = compared(step(3));
  CHECK_THAT(three.schemes[0].refused, Contains("n_head 4 does not divide by tp 3"));
  CHECK_THAT(three.schemes[2].refused, Contains("4 layers do not divide into 3 stages"));
  CHECK_THAT(comparison_text(three, {}), Contains("TP: not possible: n_head 4"));
  StepOptions odd = step(2);
  odd.seq = 7;
  const Comparison seven = compared(odd);
  CHECK(seven.schemes[0].refused.empty());
  CHECK_THAT(seven.schemes[1].refused, Contains("7 positions"));
  StepOptions uneven = step(2);
  uneven.batch = 3, uneven.trainer.accumulation = 2;
  CHECK_THROWS_WITH(compared(uneven), Contains("does not divide by 1 replicas and 2"));
}

TEST_CASE("compare: on one rank nothing is sent") {
  for (const Scheme& scheme : compared(step(1)).schemes) {
    CHECK(scheme.wire_bytes() == 0);
    CHECK(scheme.sync_points() == 0);
  }
}

}  // namespace
