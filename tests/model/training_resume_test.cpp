// A training run that was saved and taken up again is the run that never stopped.
#include <atomic>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>

#include "model/training/checkpointing.h"
#include "tests/model/checkpoint_files.h"
#include "tests/model/training_runs.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

// What a checkpoint holds: "model.<name>", "m.<name>" and "v.<name>".
using State = std::map<std::string, std::vector<double>>;

State state_of(const TplabCheckpoint& checkpoint) {
  State state;
  for (const NamedTensor& p : named_tensors(checkpoint.architecture())) {
    const int64_t cols = cols_of(p.shape);
    const Slice all{{{0, p.shape[0]}}, {0, cols}};
    const auto read = [&](const std::string& name) -> HostSpan {
      std::vector<double>& values = state[name];
      values.resize(static_cast<size_t>(all.count()));
      return {DType::f64, values.data(), all.count()};
    };
    checkpoint.read(p.name, all, read("model." + p.name));
    for (const char* moment : {"m", "v"})
      checkpoint.read_state(moment, p.name, all, read(moment + ("." + p.name)));
  }
  return state;
}

constexpr Parallelism kMesh{.tp = 2, .dp = 2, .sp = true, .zero = Zero::gradients};

std::string file_in(const std::string& folder) { return folder + "/" + kLastFile; }

// Trains steps [first, end) from a source, with the moments of `from` unless it is null, and saves
// into a folder.
void train(const WeightSource& source, const TplabCheckpoint* from, const Run& run, int64_t first,
           int64_t end, const std::string& folder) {
  fs::create_directories(folder);
  on_mesh(source, run, [&](Rank& rank, Trainer& trainer) {
    if (from) load_moments(rank, *from, trainer);
    for (int64_t i = first; i < end; ++i) {
      const StepBatch batch = batch_of_step(i);
      (void)trainer.step(batch.tokens, batch.targets, i, 1e-3);
    }
    SharedSave(folder).write(rank, trainer, {.architecture = source.architecture(), .step = end},
                             false);
  });
}

State six_steps(const Run& run) {
  const TempFolder folder;
  train(*small_weights(), nullptr, run, 0, 6, folder.path("6"));
  return state_of(TplabCheckpoint(file_in(folder.path("6"))));
}

// Three steps on each, the second from what the first saved.
State three_and_three(const Run& first, const Run& second) {
  const TempFolder folder;
  train(*small_weights(), nullptr, first, 0, 3, folder.path("3"));
  const TplabCheckpoint middle(file_in(folder.path("3")));
  CHECK(middle.step() == 3);
  CHECK(middle.dtype() == accumulator(first.options.dtype));
  train(middle, &middle, second, 3, 6, folder.path("6"));
  return state_of(TplabCheckpoint(file_in(folder.path("6"))));
}

// The largest |a - b| / |b|, in 2-norms, of any array; NaN if there is one.
double distance(const State& a, const State& b) {
  double largest = 0;
  for (const auto& [name, want] : b) {
    const std::vector<double>& got = a.at(name);
    double error = 0, size = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      error += (got[i] - want[i]) * (got[i] - want[i]);
      size += want[i] * want[i];
    }
    if (!(std::sqrt(error / size) <= largest)) largest = std::sqrt(error / size);
  }
  return largest;
}

}  // namespace

TEST_CASE("resuming: on the same mesh it is bit-identical to not having stopped") {
  for (DType dtype : {DType::f32, DType::f64, DType::bf16}) {
    for (const double dropout : {0.0, 0.2}) {
      const TrainerOptions base{.dtype = dtype, .dropout = dropout};
      for (const Parallelism& how :
           std::vector<Parallelism>{{},
                                    {.tp = 2},
                                    {.dp = 2, .zero = Zero::states},
                                    {.tp = 2, .dp = 2, .sp = true, .zero = Zero::gradients}}) {
        INFO(how.text() << ", " << name(dtype) << ", dropout " << dropout);
        const Run run{how.text(), spread(base, how)};
        CHECK(three_and_three(run, run) == six_steps(run));
      }
    }
  }
}

TEST_CASE("resuming: on another mesh it goes on as if that mesh had been used from the start") {
  const Run one{"tp 1", {.dtype = DType::f64, .dropout = 0.2}};
  const Run mesh{"tp 2, dp 2, SP, ZeRO 2", spread(one.options, kMesh)};
  const State straight = six_steps(one);
  // Meshes differ by rounding alone, 1e-16 or so a step; of numbers that are mathematically 0, as
  // the gradient of the keys' biases is, nothing but rounding is left: those are held together
  // with the biases of queries and values, which are in the same array.
  CHECK(distance(three_and_three(one, mesh), straight) <= 1e-12);
  CHECK(distance(three_and_three(mesh, one), straight) <= 1e-12);
  CHECK(distance(six_steps(mesh), straight) <= 1e-12);
}

TEST_CASE("resuming: on another mesh in f32 it differs by rounding alone") {
  const Run one{"tp 1"};
  const Run mesh{"tp 2, dp 2, SP, ZeRO 2", {.parallelism = kMesh}};
  const State straight = six_steps(one);
  // 1e-12 times what an f32 rounds more coarsely than an f64: 2^29.
  CHECK(distance(three_and_three(one, mesh), straight) <= 1e-12 * 0x1p29);
  CHECK(distance(three_and_three(mesh, one), straight) <= 1e-12 * 0x1p29);
}

TEST_CASE("resuming: without the moments, or a step off, it is another run") {
  const Run run{"tp 1", {.dtype = DType::f64}};
  const State straight = six_steps(run);
  const TempFolder folder;
  train(*small_weights(), nullptr, run, 0, 3, folder.path("3"));
  const TplabCheckpoint middle(file_in(folder.path("3")));
  train(middle, nullptr, run, 3, 6, folder.path("6"));
  CHECK(distance(state_of(TplabCheckpoint(file_in(folder.path("6")))), straight) > 1e-6);
  train(middle, &middle, run, 2, 5, folder.path("6"));
  CHECK(distance(state_of(TplabCheckpoint(file_in(folder.path("6")))), straight) > 1e-6);
}

TEST_CASE("resuming: what is saved and loaded again is saved as the same numbers") {
  for (const auto& [tp, dp, zero] : {std::tuple{1, 1, Zero::none},
                                     {4, 1, Zero::none},
                                     {1, 4, Zero::states},
                                     {2, 2, Zero::gradients}}) {
    const TempFolder folder;
    const Run run{"", {.parallelism = {.tp = tp, .dp = dp, .zero = zero}}};
    train(*small_weights(), nullptr, {""}, 0, 2, folder.path("a"));
    const TplabCheckpoint saved(file_in(folder.path("a")));
    train(saved, &saved, run, 2, 2, folder.path("b"));
    CHECK(state_of(TplabCheckpoint(file_in(folder.path("b")))) == state_of(saved));
  }
}

TEST_CASE("saving: a save that is in its place counts, though a peer is lost at once") {
  const TempFolder folder;
  const std::string out = folder.path("run");
  fs::create_directories(out);
  const auto source = small_weights();
  std::atomic<int> told = 0;
  CHECK_THROWS(on_mesh(*source, Run{"tp 2", spread({.dtype = DType::f64}, {.tp = 2})},
                       [&](Rank& rank, Trainer& trainer) {
                         const CheckpointFacts facts{.architecture = source->architecture(),
                                                     .step = 7};
                         SharedSave(out).write(rank, trainer, facts, false, [&] {
                           ++told;
                           if (rank.index() == 0) fail("lost", "");
                         });
                       }));
  CHECK(told == 1);  // rank 0, which put it there; rank 1 never heard of it
  CHECK(TplabCheckpoint(file_in(out)).step() == 7);
}
