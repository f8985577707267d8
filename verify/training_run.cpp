#include "verify/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <iterator>
#include <optional>
#include <utility>

#include "model/training/trainer.h"
#include "sim/error.h"
#include "verify/assemble.h"
#include "verify/capture.h"
#include "verify/judge.h"
#include "verify/parallel.h"
#include "verify/predict.h"
#include "verify/trace_recorder.h"

namespace tplab {

namespace {

// What one rank computed of the first batch, and of the steps on the others. A list is a handle,
// which keeps its memory and no other of the rank's: a copy would be the model once more.
struct RankGradients {
  double loss = 0;
  std::vector<ShownSite> shown = {};
  Array gradients = {};
  std::vector<TraceEntry> did = {};
};
struct RankSteps {
  bool begun = false;  // its trainer is made
  std::vector<StepResult> steps;
  std::vector<Event> events;  // of the first step
  Array after;
  bool copies_are_rounded = true;  // the parameters in bf16, of their masters
  std::vector<TraceEntry> did;
};

TrainerOptions trainer_options(const Parallelism& mesh, DType dtype, const TrainRecipe& r) {
  return {.dtype = dtype,
          .optimizer = {.beta1 = r.beta1,
                        .beta2 = r.beta2,
                        .eps = r.eps,
                        .weight_decay = r.weight_decay,
                        .grad_clip = r.grad_clip},
          .parallelism = mesh};
}

World world_of(const RunResult& run, const VerifyOptions& options,
               std::vector<Recorder*> recorders) {
  return World({.tp = run.mesh.tp,
                .dp = run.mesh.dp,
                .device = options.device,
                .comm = options.comm,
                .algorithm = options.algorithm,
                .timeout_s = options.timeout_s,
                .recorders = std::move(recorders),
                .comm_breakage = options.breakage.comm});
}

std::unique_ptr<Trainer> trainer_of(Rank& rank, const WeightSource& source, const RunResult& run,
                                    const VerifyOptions& options) {
  const Breakage& broken = options.breakage;
  const WeightSource& weights = broken.weights ? *broken.weights : source;
  const TrainerOptions how = trainer_options(run.mesh, run.dtype, options.recipe);
  return broken.trainer ? broken.trainer(rank, weights, how) : make_trainer(rank, weights, how);
}

// Whether every rank has this number, bit for bit.
bool all_equal(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [&](double v) {
    return std::bit_cast<uint64_t>(v) == std::bit_cast<uint64_t>(values[0]);
  });
}

// What one number of each rank's results is.
template <class Result, class F>
std::vector<double> of_each(const std::vector<Result>& results, const F& number) {
  std::vector<double> numbers;
  numbers.reserve(results.size());
  for (const Result& result : results) numbers.push_back(number(result));
  return numbers;
}

// Moves one part of each rank's results out.
template <class Result, class Part>
std::vector<Part> taken_of_each(std::vector<Result>& results, Part Result::*part) {
  std::vector<Part> all;
  all.reserve(results.size());
  for (Result& result : results) all.push_back(std::move(result.*part));
  return all;
}

// Adds what each rank did in one more part of the run.
template <class Result>
void add_to_trace(std::vector<Result>& results, const TraceOptions& options, RunResult& run) {
  if (!options.on()) return;
  run.trace.resize(results.size());
  for (size_t r = 0; r < results.size(); ++r) {
    std::vector<TraceEntry>& did = results[r].did;
    std::move(did.begin(), did.end(), std::back_inserter(run.trace[r]));
  }
}

// `prefix` and the name of each of the plan's tensors, from the ranks' lists.
void compare_tensors(const std::string& prefix, const ShardPlan& plan,
                     const std::vector<Array>& ranks, const Judge& judge) {
  const Assembler assembler(plan, judge.run().mesh.dp);
  const auto made = [&](size_t i) -> Made {
    const NamedTensor& tensor = plan.tensors()[i];
    Assembled all = assembler.assemble(tensor, ranks);
    return {.name = prefix + tensor.name,
            .values = std::move(all.whole),
            .replicas_identical = all.replicas_identical};
  };
  std::vector<Judge::Compared> compared(plan.tensors().size());
  for_each_of(std::ssize(compared), parameter_count(plan.architecture()), [&](int64_t i) {
    compared[static_cast<size_t>(i)] = judge.compare(made(static_cast<size_t>(i)));
  });
  std::optional<Finding>& finding = judge.run().finding;
  for (size_t i = 0; i < compared.size(); ++i) {
    if (!compared[i].result.good && !finding) finding = judge.explain(made(i));
    judge.take(std::move(compared[i]));
  }
}

// What the optimizer moves: the parameters, or their masters, of which each replica has a part
// under ZeRO.
Array parameters_after(Rank& rank, Trainer& trainer) {
  const FlatParameters& parameters = trainer.parameters();
  Array masters = trainer.optimizer().masters();
  if (!trainer.optimizer().has_masters()) return parameters.values;
  if (masters.count() == parameters.values.count()) return masters;
  Array all = rank.device().allocate(masters.dtype(), parameters.values.shape());
  rank.dp_comm().all_gather(masters, all);
  return all;
}

bool are_rounded_copies(Device& device, const Array& values, const Array& masters) {
  const auto count = static_cast<size_t>(values.count());
  std::vector<double> got(count), exact(count);
  to_host(device, values, got);
  to_host(device, masters, exact);
  return std::equal(got.begin(), got.end(), exact.begin(), [](double v, double master) {
    return v == static_cast<double>(static_cast<float>(bf16(master)));
  });
}

// A step that failed on ranks that all had begun, as one that met a NaN, is a finding. What is no
// such thing is rethrown.
void take_failure(const std::exception_ptr& failed, const std::vector<RankSteps>& ranks,
                  RunResult& run) {
  const bool in_a_step =
      std::all_of(ranks.begin(), ranks.end(), [](const RankSteps& r) { return r.begun; });
  try {
    std::rethrow_exception(failed);
  } catch (const Error& error) {
    if (!in_a_step || error.kind() == ErrorKind::unavailable) throw;
    if (!run.finding)
      run.finding = {"step", error.problem(), "the gradients of the first batch are right"};
  }
}

}  // namespace

void run_gradients(const WeightSource& source, const VerifyOptions& options, const Truth& truth,
                   RunResult& run) {
  const Judge judge(truth, options.golden ? &*options.golden : nullptr, run);
  const ShardPlan plan(source.architecture(), run.mesh.tp, run.mesh.uneven);
  Capture capture(run.mesh.mesh());
  TraceRecorders trace_of(options.trace.on(), run.mesh.mesh(), capture.recorders());
  auto [results, records] = world_of(run, options, trace_of.recorders()).run([&](Rank& rank) {
    const std::unique_ptr<Trainer> trainer = trainer_of(rank, source, run, options);
    const TrainingBatch& batch = options.batches[0];
    const double loss = trainer->gradients(batch.tokens, batch.targets);
    const Array gradients = trainer->parameters().gradients;
    trace_of.result(rank, "loss", {&loss, 1});
    trace_of.result(rank, "gradients", gradients);
    return RankGradients{loss, capture.take(rank), gradients, trace_of.take(rank)};
  });
  add_to_trace(results, options.trace, run);
  const auto losses = of_each(results, [](const RankGradients& r) { return r.loss; });
  judge({.name = "loss", .values = {losses[0]}, .replicas_identical = all_equal(losses)});
  // The stream's gradients are of this replica's sequences, the reference's of all of them.
  if (run.mesh.dp == 1)
    for (const CapturedSite& site :
         captured_sites(run.mesh.tp, taken_of_each(results, &RankGradients::shown)))
      if (site.site.ends_with("grad"))
        judge({.name = site.site,
               .values = site.whole(),
               .replicas_identical = site.replicas_identical()});
  compare_tensors("grad.", plan, taken_of_each(results, &RankGradients::gradients), judge);
  run.ranks = std::move(records);
}

void run_steps(const WeightSource& source, const VerifyOptions& options, const Truth& truth,
               RunResult& run) {
  const Judge judge(truth, options.golden ? &*options.golden : nullptr, run);
  const ShardPlan plan(source.architecture(), run.mesh.tp, run.mesh.uneven);
  std::exception_ptr failed;
  TraceRecorders trace_of(options.trace.on(), run.mesh.mesh());
  auto [results, records] =
      world_of(run, options, trace_of.recorders())
          .try_run<RankSteps>(
              [&](Rank& rank, RankSteps& result) {
                const std::unique_ptr<Trainer> trainer = trainer_of(rank, source, run, options);
                result.begun = true;
                for (size_t i = 1; i < options.batches.size(); ++i) {
                  rank.ledger().clear();
                  result.steps.push_back(trainer->step(
                      options.batches[i].tokens, options.batches[i].targets,
                      static_cast<int64_t>(i) - 1, options.recipe.learning_rate_at(i - 1)));
                  if (i == 1) result.events = rank.ledger().events();
                  const StepResult& step = result.steps.back();
                  trace_of.result(rank, fmt::format("step {}", i),
                                  std::array{step.loss, step.grad_norm});
                }
                result.after = parameters_after(rank, *trainer);
                if (trainer->optimizer().has_masters())
                  result.copies_are_rounded =
                      are_rounded_copies(rank.device(), trainer->parameters().values, result.after);
                trace_of.result(rank, "after", result.after);
                result.did = trace_of.take(rank);
              },
              failed);
  if (failed) return take_failure(failed, results, run);
  add_to_trace(results, options.trace, run);
  run.ranks = std::move(records);
  for (size_t i = 0; i < results[0].steps.size(); ++i) {
    const auto losses = of_each(results, [&](const RankSteps& r) { return r.steps[i].loss; });
    const auto norms = of_each(results, [&](const RankSteps& r) { return r.steps[i].grad_norm; });
    for (const auto& [what, numbers] : {std::pair("loss", losses), {"norm", norms}})
      judge({.name = fmt::format("step {}/{}", i + 1, what),
             .values = {numbers[0]},
             .replicas_identical = all_equal(numbers)});
  }
  compare_tensors("after.", plan, taken_of_each(results, &RankSteps::after), judge);
  for (size_t rank = 0; rank < results.size() && !run.finding; ++rank)
    if (!results[rank].copies_are_rounded)
      run.finding = {"after",
                     fmt::format("rank {}: parameters that are not their masters, rounded", rank),
                     "the optimizer's steps do not reach the model, or parts were not gathered"};
  for (RankSteps& result : results) run.events.push_back(std::move(result.events));
  const Tokens& tokens = options.batches[1].tokens;
  const StepShape shape{.batch = run.mesh.micro_batch(tokens.batch),
                        .length = tokens.length,
                        .dtype = run.dtype,
                        .algorithm = options.algorithm};
  judge.counts([&](int rank) { return predict_step(plan, run.mesh, shape, rank); });
}

}  // namespace tplab
