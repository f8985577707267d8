#include "cli/step_settings.h"

#include "model/training/data_parallel.h"

namespace tplab::cli {

namespace {

// What the rank of this global index must send.
std::vector<PredictedEvent> predict(const ShardPlan& plan, const StepOptions& step, int rank) {
  const int tp_index = rank % step.tp, dp_index = rank / step.tp;
  const TrainerOptions& trainer = step.trainer;
  if (step.forward_only)
    return predict_forward(plan, step.micro_batch(), step.seq, trainer.dtype, step.algorithm,
                           tp_index);
  return predict_step(plan,
                      {.dp = step.dp,
                       .batch = step.micro_batch(),
                       .length = step.seq,
                       .micro_batches = trainer.accumulation,
                       .sp = trainer.sp,
                       .regather = trainer.sp_regather,
                       .recompute = trainer.recompute,
                       .zero = static_cast<int>(trainer.zero),
                       .dtype = trainer.dtype,
                       .algorithm = step.algorithm},
                      dp_index, tp_index);
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
  add_tp(app, step.tp);
  model.add_uneven(app);
  app.add_option("--dp", step.dp, "replicas of the model, each with its part of the batch")
      ->capture_default_str();
  app.add_flag("--forward", step.forward_only, "a forward pass alone, to the logits");
  app.add_flag("--sp", step.trainer.sp,
               "sequence parallelism: the stream is split over the tp ranks");
  app.add_flag("--sp-regather", step.trainer.sp_regather,
               "gather inputs again in the backward pass");
  app.add_option("--zero", zero, "what replicas share out: 1 optimizer states, 2 gradients too")
      ->type_name("0|1|2")
      ->capture_default_str();
  app.add_flag("--recompute", step.trainer.recompute,
               "keep only each block's input, and compute it twice");
  app.add_option("--accumulate", step.trainer.accumulation, "micro-batches a step")
      ->check(whole_number(1))
      ->capture_default_str();
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
  step.uneven = model.uneven;
  step.algorithm = parse_algorithm(algorithm);
  step.comm = machine.comm;
  step.trainer.dtype = parse_dtype(dtype);
  step.trainer.zero = parse_zero(zero);
  step.trainer.seed = seed;
  check_world({.device = machine.device, .comm = machine.comm});
  std::unique_ptr<WeightSource> source = model.open(seed, true);
  complete(step, source->architecture());
  return source;
}

}  // namespace tplab::cli
