#include "viz/recording/recorded_step.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "model/network.h"
#include "model/plan/training_memory.h"
#include "sim/error.h"
#include "sim/machine/measure.h"
#include "sim/random.h"

namespace tplab {

namespace {

// Random tokens, and the one after each as its target.
struct StepData {
  Tokens tokens;
  std::vector<int32_t> targets;
};

StepData draw(const StepOptions& options, const Architecture& architecture) {
  const RandomStream stream(options.seed, "step tokens");
  const auto count = static_cast<uint64_t>(options.batch * options.seq);
  StepData data{{options.batch, options.seq, {}}, {}};
  data.tokens.ids.reserve(count);
  data.targets.reserve(count);
  for (uint64_t i = 0; i <= count; ++i) {
    const double u = stream.uniform(i);
    const auto id = static_cast<int32_t>(u * static_cast<double>(architecture.vocabulary));
    if (i < count) data.tokens.ids.push_back(id);
    if (i > 0) data.targets.push_back(id);
  }
  return data;
}

Tokens part_of_replica(const Tokens& all, int dp, int dp_index) {
  const int64_t each = all.batch / dp, count = each * all.length;
  const auto begin = all.ids.begin() + dp_index * count;
  return {each, all.length, std::vector<int32_t>(begin, begin + count)};
}

WorldOptions world(const StepOptions& options, const std::string& device) {
  return {.tp = options.parallelism.tp,
          .dp = options.parallelism.dp,
          .device = device,
          .comm = options.comm,
          .algorithm = options.algorithm,
          .timeout_s = options.timeout_s};
}

// A rank's model, loaded, as something that takes steps.
using TakeStep = std::function<void(int64_t step)>;

TakeStep load(Rank& rank, const WeightSource& source, const StepOptions& options,
              const StepData& data) {
  if (options.forward_only) {
    const auto network = std::make_shared<const Network>(
        rank, source, options.plan(source.architecture()), options.dtype);
    const Tokens mine = part_of_replica(data.tokens, rank.dp_size(), rank.dp_index());
    return [network, mine](int64_t) { (void)network->forward(mine); };
  }
  const std::shared_ptr<Trainer> trainer = make_trainer(rank, source, options.trainer());
  constexpr double kLearningRate = 1e-4;
  return [trainer, &data](int64_t step) {
    (void)trainer->step(data.tokens, data.targets, step, kLearningRate);
  };
}

// So that times are not those of first touching memory, and begin together.
void warm_up(Rank& rank, const TakeStep& step) {
  step(0);
  rank.comm().barrier();
  rank.dp_comm().barrier();
  rank.ledger().clear();
}

}  // namespace

void complete(StepOptions& options, const Architecture& architecture) {
  check_world(world(options, options.device));
  const Parallelism& how = options.parallelism;
  check_shares(architecture, how.tp, how.uneven);
  if (options.forward_only &&
      (how.sp || how.regather || how.recompute || how.accumulation > 1 || how.zero != Zero::none))
    fail("a forward pass alone has no --sp, --zero, --recompute or --accumulate",
         "drop them, or --forward");
  how.check();
  if (options.batch == 0) options.batch = int64_t{2} * how.dp * how.accumulation;
  if (options.seq == 0) options.seq = std::min<int64_t>(architecture.context, 64);
  if (options.batch < 1 || options.seq < 1 || options.seq > architecture.context)
    fail(fmt::format("--batch {} --seq {} is not possible", options.batch, options.seq),
         fmt::format("use a batch of at least 1 and a sequence of 1 to {}", architecture.context));
  how.check_batch(options.batch, options.seq);
  // On any device: ids and targets of 4 bytes, and the copy that every rank of a replica makes.
  const double tokens = static_cast<double>(options.batch) * static_cast<double>(options.seq);
  require_memory(fmt::format("a step of {} x {} tokens", options.batch, options.seq),
                 8 * (1.0 + how.tp) * tokens, "use fewer or shorter sequences: --batch, --seq");
}

void require_step_memory(const WeightSource& source, const StepOptions& options) {
  const Parallelism& how = options.parallelism;
  const auto of_all_ranks = [&](int64_t micro_batch) {
    StepOptions some = options;
    some.batch = micro_batch * how.dp;
    some.parallelism.accumulation = 1;  // micro-batches come one after the other
    int64_t bytes = 0;
    for (const RankRecord& rank : count_step(source, some)) bytes += rank.memory.peak_bytes;
    return bytes;
  };
  const int64_t n = options.micro_batch(), most = most_sequences(options.seq);
  const int64_t some = of_all_ranks(std::min(n, most));
  const int64_t bytes = n <= most ? some : grown(of_all_ranks(most / 2), some, most, n);
  require_memory(fmt::format("running it at tp {}, dp {}", how.tp, how.dp),
                 static_cast<double>(bytes),
                 "use a smaller model or batch, or look at its collectives alone: tplab trace "
                 "--table needs no memory");
}

std::string describe(const StepOptions& options) {
  return fmt::format("{}, {}, {} x {} tokens, {}, {}",
                     options.forward_only ? "forward pass" : "training step",
                     options.parallelism.text(), options.batch, options.seq, name(options.dtype),
                     name(options.algorithm));
}

RecordedStep record_step(const WeightSource& source, const StepOptions& options,
                         const std::string& model) {
  const Mesh mesh = options.parallelism.mesh();
  const StepData data = draw(options, source.architecture());
  std::vector<RunRecorder> recorders(static_cast<size_t>(mesh.ranks()));
  WorldOptions on = world(options, options.device);
  for (RunRecorder& recorder : recorders) on.recorders.push_back(&recorder);
  auto [ranks, records] = World(on).run([&](Rank& rank) {
    const TakeStep step = load(rank, source, options, data);
    warm_up(rank, step);
    RunRecorder& recorder = recorders[static_cast<size_t>(rank.global_index())];
    recorder.start();
    step(1);
    recorder.stop();
    return recorder.take();
  });
  return {.run = join(std::move(ranks), mesh, model, describe(options)),
          .ranks = std::move(records)};
}

std::vector<RankRecord> count_step(const WeightSource& source, const StepOptions& options) {
  const StepData data = draw(options, source.architecture());
  return World(world(options, "meta")).run([&](Rank& rank) {
    load(rank, source, options, data)(0);
  });
}

std::vector<WatchedRank> watch_steps(const WeightSource& source, const StepOptions& options,
                                     int64_t steps) {
  const StepData data = draw(options, source.architecture());
  return World(world(options, options.device))
      .run([&](Rank& rank) {
        const TakeStep step = load(rank, source, options, data);
        warm_up(rank, step);
        const int64_t start_ns = rank.clock().now_ns();
        for (int64_t i = 1; i <= steps; ++i) step(i);
        rank.device().wait();
        const int64_t elapsed_ns = rank.clock().now_ns() - start_ns;
        return WatchedRank{rank_times(rank.ledger().events(), elapsed_ns), rank.device().memory()};
      })
      .results;
}

}  // namespace tplab
