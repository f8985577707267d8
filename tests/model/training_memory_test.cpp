// The memory of a training step as the meta device finds it, against what the CPU gave out and what
// the sizes say.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/model/training_memory_formula.h"
#include "tests/model/training_runs.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

// Large enough for arrays to be longer than what allocations are rounded to.
const GptConfig kMiddle{
    .n_layer = 4, .n_head = 4, .n_embd = 64, .block_size = 64, .vocab_size = 300, .n_inner = 256};

// Sequences of one micro-batch of one replica, and their length.
struct Sizes {
  int64_t sequences, length;
};

struct Measured {
  int64_t peak = 0, activations = 0;
};

// Of rank 0, after two steps: the first allocates nothing that the second does not.
Measured measured(const GptConfig& config, const Run& run, const Sizes& sizes) {
  const auto source = small_weights(config);
  Measured result;
  on_mesh(*source, run, [&](Rank& rank, Trainer& trainer) {
    const int64_t B = sizes.sequences * run.how().dp * run.how().accumulation;
    Tokens tokens{B, sizes.length, {}};
    for (int64_t i = 0; i < B * sizes.length; ++i)
      tokens.ids.push_back(static_cast<int32_t>((i * 29 + 7) % config.vocab_size));
    StepResult step;
    for (int64_t i : {0, 1}) step = trainer.step(tokens, tokens.ids, i, 1e-3);
    if (rank.global_index() == 0)
      result = {rank.device().memory().peak_bytes, step.activation_bytes};
  });
  return result;
}

TrainingMemory predicted(const GptConfig& config, const Run& run, const Sizes& sizes) {
  return training_memory(config, run.options, sizes.sequences, sizes.length);
}

// every_mesh, and ZeRO of each stage with a small stream, where the optimizer's copies are the
// peak.
void check_memory(const GptConfig& config, const Sizes& sizes, DType dtype) {
  std::vector<Run> runs = every_mesh({.dtype = dtype});
  for (Zero zero : {Zero::states, Zero::gradients})
    runs.push_back({"tp 1, dp 4", {.dtype = dtype, .parallelism = {.dp = 4, .zero = zero}}});
  for (const Run& run : runs) {
    const Measured got = measured(config, run, sizes);
    const TrainingMemory want = predicted(config, run, sizes);
    const double ratio = static_cast<double>(want.total()) / static_cast<double>(got.peak);
    INFO(run.text << ", ZeRO " << static_cast<int>(run.how().zero) << ", [" << sizes.sequences
                  << ", " << sizes.length << "]: predicted " << want.total() << " (weights "
                  << want.weights << ", moments " << want.moments << ", activations "
                  << want.activations << ", working " << want.working << "), measured " << got.peak
                  << ", ratio " << ratio);
    CHECK(got.activations == want.activations);
    // In bf16 the CPU's operations take f32 copies, which another device's do not.
    if (dtype != DType::bf16) CHECK(std::abs(ratio - 1) <= 0.01);
    const TrainingMemory formula =
        memory_by_formula(config, run.options, sizes.sequences, sizes.length);
    CHECK(formula.weights == want.weights);
    CHECK(formula.gradients == want.gradients);
    CHECK(formula.moments == want.moments);
    CHECK(formula.masters == want.masters);
    CHECK(formula.activations == want.activations);
    CHECK(std::abs(static_cast<double>(formula.total()) / static_cast<double>(want.total()) - 1) <=
          0.05);
  }
}

}  // namespace

TEST_CASE("training_memory: within 1 % of what a step takes, and 5 % of what the sizes say",
          "[slow]") {
  check_memory(kMiddle, {4, 64}, DType::f32);
  check_memory(kMiddle, {1, 64}, DType::f64);
  check_memory(kMiddle, {8, 16}, DType::f32);
  check_memory(kMiddle, {4, 64}, DType::bf16);
}

TEST_CASE("training_memory: also where the optimizer's copies are the peak", "[slow]") {
  check_memory(kMiddle, {1, 4}, DType::f32);
}

TEST_CASE("training_memory: also where the logits are the peak", "[slow]") {
  GptConfig config = kMiddle;
  config.n_layer = 1;
  config.vocab_size = 4000;
  check_memory(config, {4, 64}, DType::f32);
}

TEST_CASE("training_memory: where ranks hold unequal parts it is that of the first, who has most") {
  GptConfig config = kMiddle;
  config.n_head = 6;
  config.n_embd = 96;
  config.n_inner = 258;
  const Sizes sizes{4, 64};
  for (const Parallelism& how :
       std::vector<Parallelism>{{.tp = 4, .uneven = true},
                                {.tp = 4, .sp = true, .uneven = true},
                                {.tp = 4, .recompute = true, .uneven = true}}) {
    const Run run{how.text(), {.parallelism = how}};
    const Measured got = measured(config, run, sizes);
    const TrainingMemory want = predicted(config, run, sizes);
    CHECK(got.activations == want.activations);
    CHECK(std::abs(static_cast<double>(want.total()) / static_cast<double>(got.peak) - 1) <= 0.01);
  }
}

TEST_CASE("training_memory: of more sequences than are run it goes on as they grow") {
  const TrainerOptions options{.parallelism = {.recompute = true}};
  const int64_t length = 64, most = most_sequences(length);
  for (const int64_t sequences : {most + 1, 3 * most, int64_t{1} << 31}) {
    const auto want =
        static_cast<double>(training_memory(kMiddle, options, sequences, length).total());
    const auto formula =
        static_cast<double>(memory_by_formula(kMiddle, options, sequences, length).total());
    CHECK(want == Approx(formula).epsilon(0.01));
  }
  CHECK(grown(1, int64_t{1} << 60, 2, int64_t{1} << 40) == 4'000'000'000'000'000'000);
}

TEST_CASE("training_memory: recomputing keeps a block's input alone, as measured") {
  const Sizes sizes{4, 64};
  const Run keeps{""}, recomputes{"", {.parallelism = {.recompute = true}}};
  const int64_t saved = measured(kMiddle, keeps, sizes).activations -
                        measured(kMiddle, recomputes, sizes).activations;
  // Of a block's 16 S and 2 B T H numbers of softmaxes, all but S; S = 4 * 64 * 64 * 4 bytes.
  CHECK(saved == 4 * (15 * 65536 + 2 * 4 * 64 * 4 * 4));
}

TEST_CASE(
    "training_memory: SP divides the stream that a block keeps, and gathering again its inputs") {
  const Sizes sizes{4, 64};
  const int64_t S = 65536;
  const auto kept = [&](const Parallelism& how) {
    return measured(kMiddle, {"", {.parallelism = how}}, sizes).activations;
  };
  // Two points of the stream a block and the last one: R = S/4 instead of S.
  CHECK(kept({.tp = 4}) - kept({.tp = 4, .sp = true}) == (2 * 4 + 1) * (S - S / 4));
  // Two inputs a block and the head's.
  CHECK(kept({.tp = 4, .sp = true}) - kept({.tp = 4, .sp = true, .regather = true}) ==
        (2 * 4 + 1) * (S - S / 4));
}

TEST_CASE("activations_of_the_paper: Korthikanti et al.'s numbers, worked out by hand") {
  const auto paper = [](const Parallelism& how) {
    return forecast_memory(kMiddle, {.parallelism = how}, 4, 64).activations_of_the_paper;
  };
  // sbh = 4 * 64 * 64 = 16384, as²b = 4 * 64² * 4 = 65536, 4 layers, 4 bytes a number:
  // sbh (16 * 4 + 2) + as²b (2 * 4 + 1) = 1081344 + 589824.
  CHECK(paper({}) == 4 * 1671168);
  // tp 4: sbh (4 * 4 + 2 + 12 * 4 / 4) + as²b 9 / 4 = 491520 + 147456; with SP a quarter of all.
  CHECK(paper({.tp = 4}) == 4 * 638976);
  CHECK(paper({.tp = 4, .sp = true}) == 4 * 417792);
}
