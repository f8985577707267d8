// A training step on the meta device: without numbers, and in all else the step on the CPU.
#include <catch2/catch.hpp>

#include "tests/model/training_memory_formula.h"
#include "tests/model/training_runs.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

std::vector<RankRecord> one_step(const std::string& device, const Run& run) {
  const auto source = small_weights();
  const Mesh mesh = run.how().mesh();
  const StepBatch batch = batch_of_step(0);
  return World({.tp = mesh.tp, .dp = mesh.dp, .device = device}).run([&](Rank& rank) {
    const auto trainer = make_trainer(rank, *source, run.options);
    (void)trainer->step(batch.tokens, batch.targets, 0, 1e-3);
  });
}

// All but when it was.
std::string text(const Event& e) {
  return e.site->path() + " " + std::string(name(e.phase)) + " " + std::string(name(e.axis)) + " " +
         std::string(name(e.op)) + " " + std::string(name(e.dtype)) + " of " +
         std::to_string(e.group_size) + ": " + std::to_string(e.elements) + ", " +
         std::to_string(e.payload_bytes) + ", " + std::to_string(e.wire_bytes);
}

TEST_CASE("meta device: a step makes the CPU's collectives, one for one, on every mesh") {
  for (const Run& run : every_mesh({})) {
    INFO(run.text);
    const auto real = one_step("cpu", run), meta = one_step("meta", run);
    REQUIRE(real.size() == meta.size());
    for (size_t r = 0; r < real.size(); ++r) {
      const auto &expected = real[r].ledger.events(), &got = meta[r].ledger.events();
      REQUIRE(got.size() == expected.size());
      for (size_t i = 0; i < got.size(); ++i) CHECK(text(got[i]) == text(expected[i]));
    }
  }
}

TEST_CASE("meta device: its memory is what the sizes predict, of a model that fits no machine") {
  const GptConfig config{.n_layer = 96,
                         .n_head = 96,
                         .n_embd = 12288,
                         .block_size = 2048,
                         .vocab_size = 50257,
                         .n_inner = 4 * 12288};
  const auto source = initial_weights(config, {.seed = 1});
  const TrainerOptions options{.parallelism = {.tp = 8, .sp = true}};
  const Tokens tokens{1, 2048, std::vector<int32_t>(2048)};
  const auto ranks = World({.tp = 8, .device = "meta"}).run([&](Rank& rank) {
    const auto trainer = make_trainer(rank, *source, options);
    (void)trainer->step(tokens, tokens.ids, 0, 1e-3);
  });
  const auto predicted = static_cast<double>(memory_by_formula(config, options, 1, 2048).total());
  CHECK(predicted > 300e9);
  for (const RankRecord& rank : ranks)
    CHECK(static_cast<double>(rank.memory.peak_bytes) == Approx(predicted).epsilon(0.05));
}

}  // namespace
