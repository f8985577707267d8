// A training run tells its times by the rank's clock and by no other, and its ranks stop together.
#include <catch2/catch.hpp>

#include "model/training/loop.h"
#include "sim/machine/world.h"
#include "tests/model/small_gpt.h"
#include "tests/sim/counting_clock.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

std::vector<double> times_of_a_step(int64_t clock_step_ns) {
  WorldOptions options{.tp = 2};
  options.make_clock = [=](int) { return std::make_unique<CountingClock>(clock_step_ns); };
  const auto source = small_weights();
  const Dataset data =
      dataset_of_text("what is trained on is any text that is long", "a.txt", {.block_size = 4});
  std::vector<double> times;
  World(options).run([&](Rank& rank) {
    const auto trainer = make_trainer(rank, *source, {.parallelism = {.tp = 2}});
    const LoopHooks hooks{.on_step = [&](const StepRecord& r) {
      if (rank.index() == 0)
        times = {r.step_time_s, r.forward_time_s, r.backward_time_s, r.optimizer_time_s,
                 r.communication_time_s};
    }};
    train_loop(rank, *trainer, data, {.steps = 1, .sequences = 2, .length = 4, .eval_batches = 1},
               hooks);
  });
  return times;
}

}  // namespace

TEST_CASE("training: all times of a step are the rank's clock's") {
  CHECK(times_of_a_step(0) == std::vector<double>(5, 0));
  constexpr int64_t kHour = 3'600'000'000'000;
  const std::vector<double> hours = times_of_a_step(kHour);
  REQUIRE(hours.size() == 5);
  for (const double time : hours) CHECK(time > 3599);
}

TEST_CASE("training: where one rank is to stop, all do, after the same step") {
  const auto source = small_weights();
  const Dataset data =
      dataset_of_text("what is trained on is any text that is long", "a.txt", {.block_size = 4});
  const auto steps_done = [&](int asks, WorldOptions world) {
    const auto [done, records] = World(world).run([&](Rank& rank) {
      const auto trainer =
          make_trainer(rank, *source, {.parallelism = {.tp = world.tp, .dp = world.dp}});
      const LoopHooks hooks{
          .should_stop = [&](int64_t steps) { return rank.global_index() == asks && steps == 2; }};
      return train_loop(rank, *trainer, data,
                        {.steps = 4, .sequences = 2, .length = 4, .eval_batches = 1}, hooks);
    });
    return done;
  };
  for (const WorldOptions& world : {WorldOptions{.tp = 2}, WorldOptions{.tp = 2, .dp = 2}}) {
    const auto ranks = static_cast<size_t>(world.tp * world.dp);
    for (int r = 0; r < static_cast<int>(ranks); ++r)
      CHECK(steps_done(r, world) == std::vector<int64_t>(ranks, 2));
  }
}
