#include "viz/explore/recording.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "model/flat_layout.h"
#include "model/init.h"
#include "model/training/trainer.h"
#include "sim/error.h"
#include "sim/machine/world.h"
#include "sim/random.h"
#include "viz/explore/step_recorder.h"

namespace tplab::explore {

namespace {

constexpr int kMostRanks = 4;
// Padded to 256 at every tp, so that a quarter is 64; the last one has 6 rows of padding.
constexpr int64_t kVocabulary = 250, kQuarter = 64;

int64_t below(const RandomStream& random, uint64_t index, int64_t bound) {
  return static_cast<int64_t>(random.uniform(index) * static_cast<double>(bound));
}

// Tokens of every quarter of the vocabulary, so that of four ranks each has some.
Tokens tokens_of(const Options& options) {
  const RandomStream random(options.seed, "explore/tokens");
  Tokens tokens{1, options.length, {}};
  constexpr int64_t kQuarters[] = {2, 0, 3, 1};
  for (int64_t t = 0; t < options.length; ++t)
    tokens.ids.push_back(
        static_cast<int32_t>(kQuarters[t % 4] * kQuarter +
                             below(random, static_cast<uint64_t>(t), kVocabulary % kQuarter)));
  return tokens;
}

// The next token of each position; of the last one any.
std::vector<int32_t> targets_of(const Tokens& tokens, const Options& options) {
  std::vector<int32_t> targets(tokens.ids.begin() + 1, tokens.ids.end());
  const RandomStream random(options.seed, "explore/last target");
  targets.push_back(static_cast<int32_t>(below(random, 0, kVocabulary)));
  return targets;
}

// What the one all-reduce of SP's small gradients holds, in its order; the same at every tp.
std::vector<NamedRange> small_gradients(const Architecture& architecture) {
  const ShardPlan plan(architecture, 1);
  const FlatLayout layout(plan, 0, 1);
  std::vector<NamedRange> list;
  for (const FlatEntry& entry : layout.entries())
    if (entry.region == Region::whole_vectors)
      list.push_back({plan.rows()[entry.row].tensor,
                      entry.first - layout.range(Region::whole_vectors).begin, entry.count});
  return list;
}

Run run_of(const Recording& recording, const WeightSource& source, int tp, bool sp) {
  Run run{.tp = tp, .sp = sp};
  std::vector<std::unique_ptr<StepRecorder>> recorders;
  WorldOptions world{.tp = tp, .threads_per_rank = 1};
  for (int r = 0; r < tp; ++r)
    world.recorders.push_back(recorders.emplace_back(std::make_unique<StepRecorder>()).get());
  auto [results, records] = World(world).run([&](Rank& rank) {
    const auto trainer = make_trainer(rank, source, {.parallelism = {.tp = tp, .sp = sp}});
    const double loss = trainer->gradients(recording.tokens, recording.targets);
    return std::pair(loss, recorders[static_cast<size_t>(rank.index())]->take());
  });
  run.loss = results[0].first;
  std::vector<std::vector<RankStep>> steps;
  steps.reserve(results.size());
  for (auto& [loss, of_rank] : results) steps.push_back(std::move(of_rank));
  run.steps = put_together(steps);
  for (const RankRecord& record : records) {
    Total& total = run.totals.emplace_back();
    for (const Event& event : record.ledger.events()) {
      ++total.sync_points;
      total.bytes += event.wire_bytes;
    }
  }
  check(run);
  return run;
}

void refuse_unless(bool ok, const std::string& what, const std::string& fix) {
  if (!ok) fail(what, fix);
}

}  // namespace

Architecture architecture_of(const Options& options) {
  const auto& [layers, heads, width, length, seed] = options;
  refuse_unless(layers >= 1 && layers <= 4, fmt::format("{} layers", layers), "use 1 to 4");
  refuse_unless(heads == 4 || heads == 8,
                fmt::format("{} heads are not what 1, 2 and 4 ranks can share", heads),
                "use --heads 4 or 8");
  refuse_unless(width >= heads && width <= 32 && width % heads == 0,
                fmt::format("a width of {} is not shown for {} heads", width, heads),
                fmt::format("use a multiple of {}, at most 32", heads));
  refuse_unless(length == 4 || length == 8,
                fmt::format("{} positions are not what 1, 2 and 4 ranks can share", length),
                "use --length 4 or 8");
  return GptConfig{.n_layer = layers,
                   .n_head = heads,
                   .n_embd = width,
                   .block_size = length,
                   .vocab_size = kVocabulary,
                   .n_inner = 4 * width};
}

Recording record(const Options& options) {
  Recording recording{.options = options, .architecture = architecture_of(options)};
  recording.tokens = tokens_of(options);
  recording.targets = targets_of(recording.tokens, options);
  recording.small = small_gradients(recording.architecture);
  const auto source =
      initial_weights(recording.architecture, {.seed = options.seed, .draw_biases = true});
  for (int tp = 1; tp <= kMostRanks; tp *= 2)
    for (const bool sp : {false, true})
      if (tp > 1 || !sp) recording.runs.push_back(run_of(recording, *source, tp, sp));
  return recording;
}

std::vector<Total> totals_of(const Run& run) {
  std::vector<Total> totals(static_cast<size_t>(run.tp));
  for (const Step& step : run.steps) {
    if (!step.op) continue;
    for (size_t r = 0; r < totals.size(); ++r) {
      ++totals[r].sync_points;
      totals[r].bytes += step.wire_bytes.at(r);
    }
  }
  return totals;
}

void check(const Run& run) {
  const std::vector<Total> steps = totals_of(run);
  for (size_t r = 0; r < steps.size(); ++r) {
    if (steps[r] == run.totals.at(r)) continue;
    throw Error(ErrorKind::run,
                fmt::format("explore, tp {}{}: on rank {} the steps have {} collectives and {} "
                            "bytes, the ledger {} and {}",
                            run.tp, run.sp ? " with SP" : "", r, steps[r].sync_points,
                            steps[r].bytes, run.totals[r].sync_points, run.totals[r].bytes),
                "the picture does not show what ran; please report it");
  }
}

}  // namespace tplab::explore
