// What a run's recorders keep of it, and how the ranks of a collective are joined.
#include "viz/recording/run_recording.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>

#include "sim/error.h"
#include "tests/model/training_runs.h"
#include "tests/viz/fixed_run.h"
#include "viz/recording/recorded_step.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

bool within(const Interval& inner, const Interval& outer) {
  return outer.start_ns <= inner.start_ns && inner.start_ns <= inner.end_ns &&
         inner.end_ns <= outer.end_ns;
}

TEST_CASE("recording: phases follow each other without a gap, and hold the scopes of their phase") {
  const auto source = small_weights();
  StepOptions options{.parallelism = {.tp = 2, .accumulation = 2}};
  complete(options, source->architecture());
  const RecordedStep step = record_step(*source, options, "a small model");
  for (const RankRecording& rank : step.run.ranks) {
    std::vector<Phase> phases;
    int64_t now = rank.start_ns;
    for (const PhaseSpan& span : rank.phases) {
      CHECK(span.start_ns == now);
      now = span.end_ns;
      phases.push_back(span.phase);
    }
    CHECK(now == rank.end_ns);
    using enum Phase;
    CHECK(phases == std::vector{forward, backward, forward, backward, optimizer});
    for (const ScopeSpan& scope : rank.scopes)
      CHECK(std::any_of(rank.phases.begin(), rank.phases.end(), [&](const PhaseSpan& span) {
        return within(scope, span) && scope.phase == span.phase;
      }));
    for (const CollectiveSpan& call : rank.collectives) {
      CHECK(within(call, rank));
      CHECK(call.start_ns <= call.arrived_ns);
      CHECK(call.arrived_ns <= call.agreed_ns);
      CHECK(call.agreed_ns <= call.end_ns);
      CHECK(call.members == std::vector{0, 1});
    }
  }
}

// Says the same whenever it is asked.
class StandingClock final : public Clock {
 public:
  int64_t now_ns() const override { return 7; }
};

TEST_CASE("recording: every time is the rank's clock's") {
  const auto source = small_weights();
  std::vector<RunRecorder> recorders(2);
  WorldOptions world{.tp = 2, .recorders = {&recorders[0], &recorders[1]}};
  world.make_clock = [](int) { return std::make_unique<StandingClock>(); };
  const auto [ranks, records] = World(world).run([&](Rank& rank) {
    RunRecorder& recorder = recorders[static_cast<size_t>(rank.index())];
    recorder.start();
    const auto trainer = make_trainer(rank, *source, {.parallelism = {.tp = 2}});
    const StepBatch batch = batch_of_step(0);
    (void)trainer->step(batch.tokens, batch.targets, 0, 1e-3);
    recorder.stop();
    return recorder.take();
  });
  const auto is_7 = [](const Interval& span) { return span.start_ns == 7 && span.end_ns == 7; };
  const auto are_7 = [&](const auto& spans) {
    return !spans.empty() && std::all_of(spans.begin(), spans.end(), is_7);
  };
  for (const RankRecording& rank : ranks) {
    CHECK(is_7(rank));
    CHECK(are_7(rank.phases));
    CHECK(are_7(rank.scopes));
    CHECK(are_7(rank.operations));
    CHECK(are_7(rank.collectives));
  }
}

TEST_CASE("recording: only the last step's collectives, as many as a run without numbers counts") {
  const auto source = small_weights();
  StepOptions options{.parallelism = {.tp = 2, .dp = 2}};
  complete(options, source->architecture());
  const RecordedStep step = record_step(*source, options, "a small model");
  const std::vector<RankRecord> counted = count_step(*source, options);
  for (size_t r = 0; r < 4; ++r) {
    CHECK(step.run.ranks[r].collectives.size() == counted[r].ledger.events().size());
    CHECK(step.ranks[r].ledger.events().size() == counted[r].ledger.events().size());
  }
}

TEST_CASE("watched steps: what each rank did with its time, and all that it sent in them") {
  const auto source = small_weights();
  StepOptions options{.parallelism = {.tp = 2, .dp = 2, .sp = true}};
  complete(options, source->architecture());
  const std::vector<RankRecord> counted = count_step(*source, options);
  const std::vector<WatchedRank> ranks = watch_steps(*source, options, 3);
  REQUIRE(ranks.size() == 4);
  for (size_t r = 0; r < 4; ++r) {
    const RankTimes once = rank_times(counted[r].ledger.events(), 0);
    CHECK(ranks[r].times.calls == 3 * once.calls);
    CHECK(ranks[r].times.sent_bytes == 3 * once.sent_bytes);
    CHECK(ranks[r].times.computing_ns > 0);
    CHECK(ranks[r].times.waiting_ns > 0);
    CHECK(ranks[r].times.moving_ns > 0);
    CHECK(ranks[r].memory.current_bytes > 0);
    CHECK(ranks[r].memory.peak_bytes > ranks[r].memory.current_bytes);
  }
}

TEST_CASE("watched steps: on the device that was asked for") {
  const auto source = small_weights();
  StepOptions options{.parallelism = {.tp = 2}};
  complete(options, source->architecture());
  options.device = "meta";  // which computes nothing, and says what it would hold
  const std::vector<RankRecord> counted = count_step(*source, options);
  const std::vector<WatchedRank> ranks = watch_steps(*source, options, 1);
  for (size_t r = 0; r < 2; ++r) {
    CHECK(ranks[r].times.calls == std::ssize(counted[r].ledger.events()));
    CHECK(ranks[r].memory.peak_bytes == counted[r].memory.peak_bytes);
  }
  options.device = "none such";
  CHECK_THROWS_WITH(watch_steps(*source, options, 1), Catch::Contains("none such"));
  CHECK_THROWS_WITH(record_step(*source, options, ""), Catch::Contains("none such"));
}

TEST_CASE("join: a rank waits until the last of a call has come, on one clock from 0") {
  const RunRecording run = fixed_run();
  CHECK(run.end_ns() == 100000);
  const CollectiveSpan &a = run.ranks[0].collectives[0], &b = run.ranks[1].collectives[0];
  CHECK(a.start_ns == 15000);
  CHECK(a.arrived_ns == 25000);
  CHECK(b.arrived_ns == b.start_ns);
  CHECK(a.last_rank == 1);
  CHECK(b.last_rank == 1);
  CHECK(run.ranks[1].collectives[1].arrived_ns == 80000);
  CHECK(run.ranks[1].collectives[1].agreed_ns == 81000);
  CHECK(run.ranks[1].collectives[1].last_rank == 0);
}

TEST_CASE("join: recordings that are not of one run are refused") {
  const auto refused = [](const std::function<void(std::vector<RankRecording>&)>& change) {
    std::vector<RankRecording> ranks = fixed_ranks();
    change(ranks);
    CHECK_THROWS_WITH(join(ranks, {.tp = 2}, "", ""),
                      Catch::Contains("or not the same of each") && Catch::Contains("fix:"));
  };
  refused([](auto& ranks) { ranks.pop_back(); });
  refused([](auto& ranks) { ranks[0].collectives.pop_back(); });
  refused([](auto& ranks) { ranks[1].collectives[0].site = "block 1/attn"; });
  refused([](auto& ranks) { ranks[1].collectives[0].event.elements = 255; });
  refused([](auto& ranks) { ranks[1].collectives[0].sequence = 9; });
}

TEST_CASE("a step that is not possible is refused before anything runs") {
  const GptConfig config = kSmall;
  const auto refused = [&](StepOptions options, const std::string& why) {
    CHECK_THROWS_WITH(complete(options, config), Catch::Contains(why) && Catch::Contains("fix:"));
  };
  refused({.parallelism = {.tp = 3}}, "3");
  refused({.parallelism = {.dp = 65}}, "out of range");
  refused({.parallelism = {.dp = 2}, .batch = 3}, "does not divide");
  refused({.seq = 17}, "use a batch of at least 1 and a sequence of 1 to 16");
  refused({.parallelism = {.tp = 2, .sp = true}, .forward_only = true}, "a forward pass alone");
  refused({.parallelism = {.tp = 2, .regather = true}, .forward_only = true},
          "a forward pass alone");
}

}  // namespace
