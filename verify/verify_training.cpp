#include "verify/verify_training.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "model/costs.h"
#include "model/finite.h"
#include "sim/error.h"
#include "sim/measure.h"
#include "sim/ops.h"
#include "verify/against.h"
#include "verify/assemble.h"
#include "verify/capture.h"
#include "verify/compare.h"
#include "verify/draws.h"
#include "verify/parallel.h"

namespace tplab {

namespace {

// What one rank computed of the first batch, and of the steps on the others. A list is a handle,
// which keeps its memory and no other of the rank's: a copy would be the model once more.
struct RankGradients {
  double loss = 0;
  Array gradients = {};
};
struct RankSteps {
  std::vector<StepResult> steps;
  std::vector<Event> events;  // of the first step
  Array after;
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

// A world of the run's mesh whose ranks have a trainer.
World world_of(const TrainingRun& run, const TrainingVerifyOptions& options, Observer observer) {
  return World({.tp = run.mesh.tp,
                .dp = run.mesh.dp,
                .algorithm = options.algorithm,
                .observer = std::move(observer),
                .comm_breakage = options.comm_breakage});
}

std::unique_ptr<Trainer> trainer_of(Rank& rank, const WeightSource& source, const TrainingRun& run,
                                    const TrainingVerifyOptions& options) {
  const TrainerFactory make = options.make_trainer ? options.make_trainer : make_trainer;
  return make(rank, options.model_weights ? *options.model_weights : source,
              trainer_options(run.mesh, run.dtype, options.recipe));
}

// Ours of the truth's names against the golden file's, where it has them.
std::vector<AgainstResult> compare_golden(const Golden& golden, const Truth& truth,
                                          const std::string& name, DType dtype,
                                          const std::vector<double>& got) {
  std::vector<AgainstResult> results;
  for (const GoldenTensor& tensor : golden.tensors) {
    if (tensor.site != name) continue;
    // A shape that the file's tensor has was checked against the parameter's when it was read.
    const bool same_size = got.size() == tensor.values.size();
    const Shape shape = same_size ? tensor.shape : Shape{std::ssize(got)};
    results.push_back(judge_against(
        tensor, got, shape, [&](DType of) { return truth.bound(name, of); }, dtype));
  }
  return results;
}

// What one run is judged by.
struct Judge {
  const Truth& truth;
  const Golden* golden;
  TrainingRun& run;

  // A result, compared.
  struct Compared {
    SiteResult result;
    std::vector<AgainstResult> against = {};
    std::string where = {}, cause = {};  // of a wrong one
  };
  Compared compare_one(const std::string& name, const std::vector<double>& got,
                       bool replicas_identical) const;
  void take(const Compared& compared) const;

  void operator()(const std::string& name, const std::vector<double>& got,
                  bool replicas_identical) const {
    take(compare_one(name, got, replicas_identical));
  }
  // `prefix` and each of the plan's tensors, from the ranks' flat lists.
  void tensors(const std::string& prefix, const ShardPlan& plan,
               const std::vector<Array>& ranks) const;
};

Judge::Compared Judge::compare_one(const std::string& name, const std::vector<double>& got,
                                   bool replicas_identical) const {
  const std::vector<double>& expected = truth.values(name);
  const Bound bound = truth.bound(name, run.dtype);
  Compared compared{{name, "", std::nan(""), std::nan(""), bound, replicas_identical, false}};
  SiteResult& result = compared.result;
  Difference d;
  if (got.size() == expected.size()) {
    d = compare(got, expected, {static_cast<int64_t>(got.size())}, bound.max_abs);
    result.rms = d.rms_rel;
    result.max_abs = d.max_abs;
    result.good = within(d, bound) && replicas_identical;
  }
  if (golden) compared.against = compare_golden(*golden, truth, name, run.dtype, got);
  if (result.good) return compared;
  if (!replicas_identical) {
    compared.where = "ranks that hold the same part hold different bits";
    compared.cause = "a gradient was not summed over all ranks, or ranks drew different numbers";
    return compared;
  }
  compared.where = d.describe();
  compared.cause = guess_cause({.got = got,
                                .expected = expected,
                                .shape = {static_cast<int64_t>(expected.size())},
                                .tp = run.mesh.tp,
                                .bound = bound.max_abs});
  return compared;
}

void Judge::take(const Compared& compared) const {
  const SiteResult& result = run.results.emplace_back(compared.result);
  for (const AgainstResult& a : compared.against) {
    run.against.push_back(a);
    if (result.good && !a.good && !run.golden_finding)
      run.golden_finding = {a.tensor, a.difference, a.why};
  }
  if (!result.good && !run.finding) run.finding = {result.site, compared.where, compared.cause};
}

void Judge::tensors(const std::string& prefix, const ShardPlan& plan,
                    const std::vector<Array>& ranks) const {
  const Assembler assembler(plan, run.mesh.dp);
  std::vector<Compared> all(plan.tensors().size());
  for_each_of(std::ssize(all), parameter_count(plan.architecture()), [&](int64_t i) {
    const NamedTensor& tensor = plan.tensors()[static_cast<size_t>(i)];
    const Assembled made = assembler.assemble(tensor, ranks);
    all[static_cast<size_t>(i)] =
        compare_one(prefix + tensor.name, made.whole, made.replicas_identical);
  });
  for (const Compared& compared : all) take(compared);
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
  for (const Result& result : results) numbers.push_back(number(result));
  return numbers;
}

// Moves each rank's list out.
template <class Result>
std::vector<Array> lists_of(std::vector<Result>& results, Array Result::*list) {
  std::vector<Array> all;
  for (Result& result : results) all.push_back(std::move(result.*list));
  return all;
}

void compare_gradients(const WeightSource& source, const ShardPlan& plan,
                       const TrainingVerifyOptions& options, const Judge& judge) {
  TrainingRun& run = judge.run;
  Capture capture(run.mesh.tp);
  auto [results, records] = world_of(run, options, capture.observer()).run([&](Rank& rank) {
    const std::unique_ptr<Trainer> trainer = trainer_of(rank, source, run, options);
    const TrainingBatch& batch = options.batches[0];
    const double loss = trainer->gradients(batch.tokens, batch.targets);
    return RankGradients{loss, trainer->parameters().gradients};
  });
  const auto losses = of_each(results, [](const RankGradients& r) { return r.loss; });
  judge("loss", {losses[0]}, all_equal(losses));
  // The stream's gradients are of this replica's sequences, the reference's of all of them.
  if (run.mesh.dp == 1)
    for (const CapturedSite& site : capture.sites())
      if (site.site.ends_with("grad")) judge(site.site, site.whole(), site.replicas_identical());
  judge.tensors("grad.", plan, lists_of(results, &RankGradients::gradients));
  run.ranks = std::move(records);
}

void check_counts(const ShardPlan& plan, const TrainingVerifyOptions& options,
                  const std::vector<RankSteps>& ranks, TrainingRun& run) {
  const Tokens& tokens = options.batches[1].tokens;
  const StepShape shape{.batch = run.mesh.micro_batch(tokens.batch),
                        .length = tokens.length,
                        .dtype = run.dtype,
                        .algorithm = options.algorithm};
  for (int g = 0; g < run.mesh.mesh().ranks() && run.disagreement.empty(); ++g) {
    const std::string difference = first_disagreement(predict_step(plan, run.mesh, shape, g),
                                                      ranks[static_cast<size_t>(g)].events);
    if (!difference.empty()) run.disagreement = fmt::format("rank {}, {}", g, difference);
  }
  if (!run.disagreement.empty() && !run.finding)
    run.finding = {"ledger", run.disagreement, "a collective was added, dropped or resized"};
}

// A step that met a NaN is a finding; what is no such thing is rethrown.
void take_failure(const std::exception_ptr& failed, TrainingRun& run) {
  try {
    std::rethrow_exception(failed);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::unavailable) throw;
    if (!run.finding)
      run.finding = {"step", error.problem(), "the gradients of the first batch are right"};
  }
}

void compare_steps(const WeightSource& source, const ShardPlan& plan,
                   const TrainingVerifyOptions& options, const Judge& judge) {
  TrainingRun& run = judge.run;
  std::exception_ptr failed;
  auto [results, records] =
      world_of(run, options, {})
          .try_run<RankSteps>(
              [&](Rank& rank, RankSteps& result) {
                const std::unique_ptr<Trainer> trainer = trainer_of(rank, source, run, options);
                for (size_t i = 1; i < options.batches.size(); ++i) {
                  rank.ledger().clear();
                  result.steps.push_back(trainer->step(
                      options.batches[i].tokens, options.batches[i].targets,
                      static_cast<int64_t>(i) - 1, options.recipe.learning_rate_at(i - 1)));
                  if (i == 1) result.events = rank.ledger().events();
                }
                result.after = trainer->parameters().values;
              },
              failed);
  if (failed) return take_failure(failed, run);
  run.ranks = std::move(records);
  run.events = results[0].events;
  for (size_t i = 0; i < results[0].steps.size(); ++i) {
    const auto losses = of_each(results, [&](const RankSteps& r) { return r.steps[i].loss; });
    const auto norms = of_each(results, [&](const RankSteps& r) { return r.steps[i].grad_norm; });
    judge(fmt::format("step {}/loss", i + 1), {losses[0]}, all_equal(losses));
    judge(fmt::format("step {}/norm", i + 1), {norms[0]}, all_equal(norms));
  }
  judge.tensors("after.", plan, lists_of(results, &RankSteps::after));
  check_counts(plan, options, results, run);
}

}  // namespace

// In numbers of 8 bytes a parameter: first the truth of the gradients, and each replica's
// parameters and gradients; when that is gone the truth of the steps, and then the parameters after
// them, and a replica's with moments. What is compared is in memory once more, a replica's moments
// then are not. Of activations, the reference keeps all of a batch, and after it the ranks together
// do.
void check_training_memory(const Architecture& architecture, const std::vector<Parallelism>& meshes,
                           const Shape& batch, int64_t batches, size_t dtypes) {
  int dp = 1;
  for (const Parallelism& mesh : meshes) dp = std::max(dp, mesh.dp);
  const double numbers =
      std::max({numbers_of_gradient_truth() + 2.0 * dp + 1,
                numbers_of_steps_truth(architecture, batch[0] * batch[1], batches - 1, dtypes),
                batches > 1 ? 1 + 4.0 * dp : 0});
  require_memory(
      fmt::format("verifying the training of {} parameters at dp {}", parameter_count(architecture),
                  dp),
      8 * numbers * static_cast<double>(parameter_count(architecture)),
      "verify a smaller model: gradients are the same text at every size, as in --preset "
      "nano-cpu");
  const double tokens = static_cast<double>(batch[0]) * static_cast<double>(batch[1]);
  constexpr double kIds = 4;  // a token and its target, here and as the reference wants them
  require_memory(fmt::format("verifying training on {} batches of {} x {} tokens", batches,
                             batch[0], batch[1]),
                 8 * tokens * numbers_at_sites(architecture, batch[1]) +
                     4 * kIds * tokens * static_cast<double>(batches),
                 "use fewer or shorter sequences, or fewer steps");
}

std::vector<Parallelism> training_meshes(const std::vector<int>& tps, const std::vector<int>& dps,
                                         bool uneven) {
  std::vector<Parallelism> meshes;
  for (int tp : tps) {
    for (int dp : dps) {
      for (const Zero zero : {Zero::none, Zero::states, Zero::gradients}) {
        if (dp == 1 && zero != Zero::none) continue;
        Parallelism mesh{.tp = tp, .dp = dp, .uneven = uneven, .zero = zero};
        meshes.push_back(mesh);
        if (tp == 1) continue;
        mesh.sp = true;
        meshes.push_back(mesh);
        mesh.regather = true;
        meshes.push_back(mesh);
      }
    }
    meshes.push_back({.tp = tp, .recompute = true, .uneven = uneven});
  }
  return meshes;
}

bool TrainingReport::good() const {
  return std::all_of(runs.begin(), runs.end(), [](const TrainingRun& r) { return r.good(); }) &&
         std::all_of(reference_against.begin(), reference_against.end(),
                     [](const AgainstResult& a) { return a.good; });
}

namespace {

// Those over whose ranks and replicas every batch divides; the others are left out.
std::vector<Parallelism> meshes_that_fit(const WeightSource& source,
                                         const TrainingVerifyOptions& options,
                                         std::vector<LeftOut>& left_out) {
  std::vector<Parallelism> fit;
  std::optional<Error> refusal;
  for (const Parallelism& mesh : options.meshes) {
    check_shares(source.architecture(), mesh.tp, mesh.uneven);
    try {
      for (const TrainingBatch& batch : options.batches)
        mesh.check_batch(batch.tokens.batch, batch.tokens.length);
      fit.push_back(mesh);
    } catch (const Error& error) {
      left_out.push_back({mesh, error.problem()});
      if (!refusal) refusal = error;
    }
  }
  if (fit.empty() && refusal) throw Error(*refusal);
  return fit;
}

}  // namespace

TrainingReport verify_training(const WeightSource& source, const TrainingVerifyOptions& options) {
  if (options.batches.empty()) fail("there is no batch to train on", "give at least one");
  TrainingReport report;
  report.architecture = source.architecture();
  report.source = source.description();
  const std::vector<Parallelism> meshes = meshes_that_fit(source, options, report.left_out);
  const Tokens& tokens = options.batches[0].tokens;
  check_training_memory(source.architecture(), meshes, tokens.shape(), std::ssize(options.batches),
                        options.dtypes.size());
  if (options.golden) require_compared(*options.golden, {.training = true});
  const bool in_f32 =
      std::find(options.dtypes.begin(), options.dtypes.end(), DType::f32) != options.dtypes.end();
  require_finite(source, in_f32 ? DType::f32 : DType::f64);
  const TrainingBatch& first = options.batches[0];
  const bool steps = options.batches.size() > 1;
  const int draws = draws_for(source.architecture(), tokens.batch * tokens.length);
  const double stages =
      1 + static_cast<double>((steps ? 2 : 1) * (meshes.size() + static_cast<size_t>(draws)) *
                              options.dtypes.size());
  double done = 0;
  const auto progress = [&](const std::string& what) {
    if (options.progress) options.progress(what, std::min(1.0, done++ / stages));
  };
  report.batch = tokens.batch;
  report.length = tokens.length;
  report.steps = std::ssize(options.batches) - 1;
  report.algorithm = options.algorithm;
  if (options.golden) report.not_compared = not_compared(*options.golden, {.training = true});
  for (DType dtype : options.dtypes)
    for (const Parallelism& mesh : meshes) {
      TrainingRun& run = report.runs.emplace_back();
      run.mesh = mesh;
      run.dtype = dtype;
    }
  // Two passes over the runs, so that what the first is held against is gone in the second.
  const auto compare_all = [&](const Truth& truth, const std::string& what, const auto& compare) {
    if (options.golden)
      for (const std::string& name : truth.names())
        for (const AgainstResult& a :
             compare_golden(*options.golden, truth, name, DType::f64, truth.values(name)))
          report.reference_against.push_back(a);
    for (TrainingRun& run : report.runs) {
      progress(fmt::format("{}, {}, {}", what, run.mesh.text(), name(run.dtype)));
      const ShardPlan plan(source.architecture(), run.mesh.tp, run.mesh.uneven);
      malloc_trim(0);  // the heap would keep what was freed beside what the ranks take
      compare(source, plan, options, Judge{truth, options.golden, run});
    }
  };
  compare_all(gradient_truth(source, first, options.dtypes, progress), "gradients",
              compare_gradients);
  if (steps)
    compare_all(steps_truth(source, {options.batches.begin() + 1, options.batches.end()},
                            options.recipe, options.dtypes, progress),
                "steps", compare_steps);
  return report;
}

}  // namespace tplab
