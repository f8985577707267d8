// Ways to split a model, against sums worked out by hand.
#include <catch2/catch.hpp>

#include "model/init.h"
#include "viz/pictures/compare_picture.h"

using namespace tplab;
using Catch::Contains;

namespace {

const GptConfig kConfig{
    .n_layer = 4, .n_head = 4, .n_embd = 16, .block_size = 8, .vocab_size = 50, .n_inner = 64};

Comparison compared(const GptConfig& config, int tp, int64_t seq) {
  return compare_schemes(*initial_weights(config, {.seed = 1}),
                         {.parallelism = {.tp = tp}, .batch = 2, .seq = seq}, "m");
}

const Scheme& scheme(const Comparison& comparison, const std::string& name) {
  for (const Scheme& one : comparison.schemes)
    if (one.name == name) return one;
  FAIL("no " << name);
  return comparison.schemes.front();
}

void check(const Scheme& scheme, Phase phase, int64_t sync_points, int64_t wire_bytes) {
  INFO(scheme.name << ", " << name(phase));
  const SchemePhase& got = scheme.phases[static_cast<size_t>(phase)];
  CHECK(got.sync_points == sync_points);
  CHECK(got.wire_bytes == wire_bytes);
}

TEST_CASE("compare: each scheme's sync points and bytes, by hand") {
  const Comparison all = compared(kConfig, 4, 8);
  // S = 2 * 8 * 16 numbers of 4 bytes; n = 4, so a gather sends 3/4 and a sum 3/2 of it.
  constexpr int64_t kS = 256 * 4;
  // Shoeybi et al.: 2 a block, the embedding, and the loss' three sums of 16 numbers.
  const Scheme& tp = scheme(all, "TP");
  CHECK(tp.counted);
  check(tp, Phase::forward, 2 * 4 + 1 + 3, 3 * (9 * kS + 3 * 16 * 4) / 2);
  check(tp, Phase::backward, 2 * 4 + 1, 3 * 9 * kS / 2);
  // Korthikanti et al.: two gathers and two scatters a block, half the bytes each, and the head's
  // gather; the embedding and the loss as in TP.
  const Scheme& sp = scheme(all, "TP + SP");
  CHECK(sp.counted);
  check(sp, Phase::forward, 4 * 4 + 1 + 1 + 3, 3 * 17 * kS / 4 + 3 * (kS + 3 * 16 * 4) / 2);
  // The last of 4 stages gets S, sends its gradient, and sums the tied embedding's, 50 * 16
  // numbers, with the first.
  const Scheme& pipeline = scheme(all, "pipeline");
  CHECK_FALSE(pipeline.counted);
  check(pipeline, Phase::forward, 1, 0);
  check(pipeline, Phase::backward, 1, kS + 50 * 16 * 4);
  // 50 tokens, 16 wide, 4 bytes.
  CHECK(pipeline.note ==
        "idle 75 % of the time, waiting for other stages; the first and the last stage add up the "
        "tied matrix' gradient, 3.12 KiB");
  // A block gathers 3 S + S + 4 S + S and scatters their gradients; the head gathers 16 rows of
  // logits, padded to 256; the embedding sums S each way, the 9 norms' two gradients once.
  const Scheme& naive = scheme(all, "naive");
  CHECK_FALSE(naive.counted);
  check(naive, Phase::forward, 4 * 4 + 2, 3 * 4 * 9 * kS / 4 + 3 * kS / 2 + 3 * 16 * 256 * 4 / 4);
  check(naive, Phase::backward, 4 * 4 + 2,
        3 * 4 * 9 * kS / 4 + 3 * kS / 2 + 3 * 2 * 9 * 16 * 4 / 2);
}

TEST_CASE("compare: an inner stage sends on and back, for each micro-batch") {
  GptConfig untied = kConfig;  // else the ends, which sum the tied embedding's, send more
  untied.tied_head = false;
  StepOptions options{.parallelism = {.tp = 4, .accumulation = 3}, .batch = 6, .seq = 8};
  constexpr int64_t kS = 256 * 4;  // of a micro-batch of 2
  const Scheme pipeline = pipeline_scheme(untied, options);
  check(pipeline, Phase::forward, 3, 3 * kS);
  check(pipeline, Phase::backward, 3, 3 * kS);
  CHECK(pipeline.note == "idle 50 % of the time, waiting for other stages");  // 3 of 6
}

TEST_CASE("compare: what a model cannot be split into is said, in its row") {
  const Comparison odd = compared(kConfig, 4, 6);
  CHECK_THAT(scheme(odd, "TP + SP").refused, Contains("splits 6 positions over 4 ranks"));
  CHECK(scheme(odd, "TP").refused.empty());
  GptConfig shallow = kConfig;
  shallow.n_layer = 2;
  const Comparison all = compared(shallow, 4, 8);
  CHECK_THAT(scheme(all, "pipeline").refused, Contains("2 layers do not divide into 4 stages"));
  CHECK_THAT(comparison_text(all, {}), Contains("2 layers do not divide into 4 stages"));
}

TEST_CASE("compare: one rank sends nothing") {
  for (const Scheme& one : compared(kConfig, 1, 8).schemes) {
    INFO(one.name);
    CHECK(one.sync_points() == 0);
    CHECK(one.wire_bytes() == 0);
  }
}

}  // namespace
