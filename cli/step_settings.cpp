#include "cli/step_settings.h"

#include "cli/parallelism_options.h"
#include "sim/machine/backends.h"

namespace tplab::cli {

namespace {

// What the rank of this global index must send.
std::vector<PredictedEvent> predict(const ShardPlan& plan, const StepOptions& step, int rank) {
  const StepShape shape{.batch = step.micro_batch(),
                        .length = step.seq,
                        .dtype = step.dtype,
                        .algorithm = step.algorithm};
  if (step.forward_only)
    return predict_forward(plan, shape, step.parallelism.mesh().tp_index(rank));
  return predict_step(plan, step.parallelism, shape, rank);
}

}  // namespace

TraceTable trace_table(const ShardPlan& plan, const StepOptions& step,
                       const std::vector<RankRecord>& ranks) {
  std::vector<RankTraffic> traffic;
  traffic.reserve(ranks.size());
  for (size_t r = 0; r < ranks.size(); ++r)
    traffic.push_back({predict(plan, step, static_cast<int>(r)), ranks[r].ledger.events()});
  return trace_table(traffic);
}

void StepSettings::add_options(CLI::App& app) {
  model.add_options(app);
  add_tp(app, step.parallelism.tp);
  model.add_uneven(app);
  app.add_flag("--forward", step.forward_only, "a forward pass alone, to the logits");
  add_parallelism(app, step.parallelism);
  app.add_option("--batch", step.batch,
                 "sequences, of all replicas together (2 a micro-batch of each)")
      ->check(whole_number(1));
  app.add_option("--seq", step.seq, "tokens a sequence (64, or the block if shorter)")
      ->check(whole_number(1));
  add_dtype(app, dtype);
  add_algorithm(app, algorithm);
  add_seed(app, seed);
  machine.add_options(app);
}

std::unique_ptr<WeightSource> StepSettings::open() {
  step.parallelism.uneven = model.uneven;
  step.algorithm = parse_algorithm(algorithm);
  step.device = machine.device;
  step.comm = machine.comm;
  step.timeout_s = machine.timeout_s;
  machine.spread(step.parallelism.tp, step.parallelism.dp);
  step.dtype = parse_dtype(dtype);
  step.seed = seed;
  check_backend(devices(), "device", machine.device);
  std::unique_ptr<WeightSource> source = model.open(seed, true);
  complete(step, source->architecture());
  return source;
}

}  // namespace tplab::cli
