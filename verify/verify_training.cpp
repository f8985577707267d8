#include "verify/verify_training.h"

#include <fmt/format.h>

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

namespace tplab {

namespace {

// What one run left, by global rank.
struct TrainingTrace {
  std::vector<CapturedSite> sites;
  std::string stopped;  // why the steps could not be taken, or empty
  std::vector<Flat> gradients, after;
  std::vector<std::vector<StepResult>> steps;
  std::vector<double> losses;
  std::vector<std::vector<Event>> events;  // of the first step
};

// One rank's part of it.
struct RankTraining {
  Flat gradients, after;
  std::vector<StepResult> steps;
  double loss = 0;
  std::vector<Event> events;
};

Flat on_host(Device& device, const Array& x) {
  Flat values(static_cast<size_t>(x.count()));
  to_host(device, x, values);
  return values;
}

TrainerOptions trainer_options(const Parallelism& mesh, DType dtype, const TrainRecipe& r) {
  return {.dtype = dtype,
          .optimizer = {.beta1 = r.beta1,
                        .beta2 = r.beta2,
                        .eps = r.eps,
                        .weight_decay = r.weight_decay,
                        .grad_clip = r.grad_clip},
          .parallelism = mesh};
}

// A step that met a NaN: what the gradients were may say why. Rethrows what is no such thing.
std::string why_no_step(const std::exception_ptr& failed,
                        const std::vector<RankTraining>& results) {
  if (!failed) return "";
  const bool in_a_step = std::none_of(results.begin(), results.end(),
                                      [](const RankTraining& r) { return r.gradients.empty(); });
  try {
    std::rethrow_exception(failed);
  } catch (const Error& error) {
    if (!in_a_step || error.kind() == ErrorKind::unavailable) throw;
    return error.problem();
  }
}

TrainingTrace run_training(const WeightSource& source, const TrainingVerifyOptions& options,
                           TrainingRun& run) {
  const Parallelism& mesh = run.mesh;
  const WeightSource& weights = options.model_weights ? *options.model_weights : source;
  const TrainerFactory make = options.make_trainer ? options.make_trainer : make_trainer;
  Capture capture(mesh.tp);
  World world({.tp = mesh.tp,
               .dp = mesh.dp,
               .algorithm = options.algorithm,
               .observer = capture.observer(),
               .comm_breakage = options.comm_breakage});
  std::exception_ptr failed;
  auto [results, records] = world.try_run<RankTraining>(
      [&](Rank& rank, RankTraining& result) {
        const auto trainer = make(rank, weights, trainer_options(mesh, run.dtype, options.recipe));
        const TrainingBatch& first = options.batches[0];
        result.loss = trainer->gradients(first.tokens, first.targets);
        result.gradients = on_host(rank.device(), trainer->parameters().gradients);
        auto unseen = rank.watched_by(nullptr);
        for (size_t i = 1; i < options.batches.size(); ++i) {
          rank.ledger().clear();
          result.steps.push_back(
              trainer->step(options.batches[i].tokens, options.batches[i].targets,
                            static_cast<int64_t>(i) - 1, options.recipe.learning_rate_at(i - 1)));
          if (i == 1) result.events = rank.ledger().events();
        }
        result.after = on_host(rank.device(), trainer->parameters().values);
      },
      failed);
  run.ranks = std::move(records);
  TrainingTrace trace;
  trace.stopped = why_no_step(failed, results);
  trace.sites = capture.sites();
  for (RankTraining& result : results) {
    if (!trace.stopped.empty()) {
      result.steps.clear();
      result.events.clear();  // their sites are gone
    }
    trace.gradients.push_back(std::move(result.gradients));
    trace.after.push_back(std::move(result.after));
    trace.steps.push_back(std::move(result.steps));
    trace.losses.push_back(result.loss);
    trace.events.push_back(std::move(result.events));
  }
  run.events = trace.events[0];
  return trace;
}

// Ours of TrainingTruth's names against the golden file's, where it has them.
std::vector<AgainstResult> compare_golden(const Golden& golden, const TrainingTruth& truth,
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
  const TrainingTruth& truth;
  const Golden* golden;
  TrainingRun& run;

  void operator()(const std::string& name, const std::vector<double>& got,
                  bool replicas_identical) const;
};

void Judge::operator()(const std::string& name, const std::vector<double>& got,
                       bool replicas_identical) const {
  const std::vector<double>& expected = truth.values(name);
  const Bound bound = truth.bound(name, run.dtype);
  SiteResult result{name, "", std::nan(""), std::nan(""), bound, replicas_identical, false};
  Difference d;
  if (got.size() == expected.size()) {
    d = compare(got, expected, {static_cast<int64_t>(got.size())}, bound.max_abs);
    result.rms = d.rms_rel;
    result.max_abs = d.max_abs;
    result.good = within(d, bound) && replicas_identical;
  }
  run.results.push_back(result);
  if (golden) {
    for (const AgainstResult& a : compare_golden(*golden, truth, name, run.dtype, got)) {
      run.against.push_back(a);
      if (result.good && !a.good && !run.golden_finding)
        run.golden_finding = {a.tensor, a.difference, a.why};
    }
  }
  if (result.good || run.finding) return;
  if (!replicas_identical) {
    run.finding = {name, "ranks that hold the same part hold different bits",
                   "a gradient was not summed over all ranks, or ranks drew different numbers"};
    return;
  }
  const std::string cause = guess_cause({.got = got,
                                         .expected = expected,
                                         .shape = {static_cast<int64_t>(expected.size())},
                                         .tp = run.mesh.tp,
                                         .bound = bound.max_abs});
  run.finding = {name, d.describe(), cause};
}

// Whether every rank has this number, bit for bit.
bool all_equal(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [&](double v) {
    return std::bit_cast<uint64_t>(v) == std::bit_cast<uint64_t>(values[0]);
  });
}

void compare_run(const ShardPlan& plan, const TrainingTrace& trace, const Judge& judge) {
  const TrainingRun& run = judge.run;
  judge("loss", {trace.losses[0]}, all_equal(trace.losses));
  // The stream's gradients are of this replica's sequences, the reference's of all of them.
  if (run.mesh.dp == 1)
    for (const CapturedSite& site : trace.sites)
      if (site.site.ends_with("grad")) judge(site.site, site.whole(), site.replicas_identical());
  const Assembler assembler(plan, run.mesh.dp);
  for (const NamedTensor& tensor : plan.tensors()) {
    const Assembled gradient = assembler.assemble(tensor, trace.gradients);
    judge("grad." + tensor.name, gradient.whole, gradient.replicas_identical);
  }
  for (size_t i = 0; i < trace.steps[0].size(); ++i) {
    std::vector<double> losses, norms;
    for (const auto& steps : trace.steps) {
      losses.push_back(steps[i].loss);
      norms.push_back(steps[i].grad_norm);
    }
    judge(fmt::format("step {}/loss", i + 1), {losses[0]}, all_equal(losses));
    judge(fmt::format("step {}/norm", i + 1), {norms[0]}, all_equal(norms));
  }
  if (!trace.stopped.empty() && !run.finding)
    judge.run.finding = {"step", trace.stopped, "the gradients of the first batch are right"};
  if (trace.steps[0].empty()) return;
  for (const NamedTensor& tensor : plan.tensors()) {
    const Assembled after = assembler.assemble(tensor, trace.after);
    judge("after." + tensor.name, after.whole, after.replicas_identical);
  }
}

void check_counts(const ShardPlan& plan, const TrainingVerifyOptions& options,
                  const TrainingTrace& trace, TrainingRun& run) {
  if (options.batches.size() < 2 || !trace.stopped.empty()) return;
  const Tokens& tokens = options.batches[1].tokens;
  const StepShape shape{.batch = run.mesh.micro_batch(tokens.batch),
                        .length = tokens.length,
                        .dtype = run.dtype,
                        .algorithm = options.algorithm};
  for (int g = 0; g < run.mesh.mesh().ranks() && run.disagreement.empty(); ++g) {
    const std::string difference = first_disagreement(predict_step(plan, run.mesh, shape, g),
                                                      trace.events[static_cast<size_t>(g)]);
    if (!difference.empty()) run.disagreement = fmt::format("rank {}, {}", g, difference);
  }
  if (!run.disagreement.empty() && !run.finding)
    run.finding = {"ledger", run.disagreement, "a collective was added, dropped or resized"};
}

}  // namespace

// In numbers of 8 bytes a parameter: the reference trains with 5 (4 of them ReferenceTrainer's),
// each draw of it with 4 between two steps, errors and bounds are 3, and 2 stay; a replica trains
// with 4 and shows 2. Of activations, the reference keeps all of a batch, and after it the ranks
// together do.
void check_training_memory(const Architecture& architecture, const std::vector<Parallelism>& meshes,
                           const Shape& batch, int64_t batches) {
  int dp = 1;
  for (const Parallelism& mesh : meshes) dp = std::max(dp, mesh.dp);
  const double draws = batches > 2 ? draws_for(architecture, batch[0] * batch[1]) : 0;
  const double numbers = std::max(5 + 4 * draws + 3 + 2, 2.0 + 6 * dp);
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
  check_training_memory(source.architecture(), meshes, tokens.shape(), std::ssize(options.batches));
  if (options.golden) require_compared(*options.golden, {.training = true});
  const bool in_f32 =
      std::find(options.dtypes.begin(), options.dtypes.end(), DType::f32) != options.dtypes.end();
  require_finite(source, in_f32 ? DType::f32 : DType::f64);
  const double stages = 1 + static_cast<double>((meshes.size() + 1) * options.dtypes.size());
  double done = 0;
  const auto progress = [&](const std::string& what) {
    if (options.progress) options.progress(what, done++ / stages);
  };
  const TrainingTruth truth(source, options.batches, options.recipe, options.dtypes, progress);
  report.batch = tokens.batch;
  report.length = tokens.length;
  report.steps = std::ssize(options.batches) - 1;
  report.algorithm = options.algorithm;
  if (options.golden) {
    report.not_compared = not_compared(*options.golden, {.training = true});
    for (const std::string& name : truth.names())
      for (const AgainstResult& a :
           compare_golden(*options.golden, truth, name, DType::f64, truth.values(name)))
        report.reference_against.push_back(a);
  }
  for (DType dtype : options.dtypes) {
    for (const Parallelism& mesh : meshes) {
      progress(fmt::format("{}, {}", mesh.text(), name(dtype)));
      TrainingRun& run = report.runs.emplace_back();
      run.mesh = mesh;
      run.dtype = dtype;
      const ShardPlan plan(source.architecture(), mesh.tp, mesh.uneven);
      const TrainingTrace trace = run_training(source, options, run);
      compare_run(plan, trace, {truth, options.golden, run});
      check_counts(plan, options, trace, run);
    }
  }
  return report;
}

}  // namespace tplab
