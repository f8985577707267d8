// The program: what is to be compared is worked out once, and every run is held against it.
#include "verify/verify.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>

#include "model/finite.h"
#include "sim/error.h"
#include "sim/machine/measure.h"
#include "verify/draws.h"
#include "verify/forward_run.h"
#include "verify/judge.h"
#include "verify/tracing.h"
#include "verify/training_run.h"
#include "verify/training_truth.h"

namespace tplab {

std::vector<Parallelism> forward_meshes(const std::vector<int>& tps, bool uneven) {
  std::vector<Parallelism> meshes;
  meshes.reserve(tps.size());
  for (int tp : tps) meshes.push_back({.tp = tp, .uneven = uneven});
  return meshes;
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

bool Report::good() const {
  return std::all_of(runs.begin(), runs.end(), [](const RunResult& run) { return run.good(); }) &&
         std::all_of(reference_against.begin(), reference_against.end(),
                     [](const AgainstResult& a) { return a.good; }) &&
         (!trace || trace->good());
}

namespace {

bool has(const std::vector<DType>& dtypes, DType dtype) {
  return std::find(dtypes.begin(), dtypes.end(), dtype) != dtypes.end();
}

// The dtypes that bounds are drawn in: those of the runs, and where these are bf16 alone, f32 for
// the golden file's own, which does not follow from what bf16 rounds.
std::vector<DType> drawn_dtypes(const VerifyOptions& options) {
  std::vector<DType> dtypes = options.dtypes;
  const bool bf16_alone =
      std::all_of(dtypes.begin(), dtypes.end(), [](DType d) { return d == DType::bf16; });
  if (options.golden && bf16_alone) dtypes.push_back(DType::f32);
  return dtypes;
}

// That with the least range of those that weights must be finite in.
DType narrowest(const std::vector<DType>& dtypes) {
  for (const DType dtype : {DType::bf16, DType::f32})
    if (has(dtypes, dtype)) return dtype;
  return DType::f64;
}

// The numbers at all sites of one token, in a sequence of `length`.
double numbers_at_sites(const Architecture& c, int64_t length) {
  const int64_t layer =
      13 * c.width + 2 * first_mlp(c).width + 2 * first_attention(c).heads * length;
  return static_cast<double>(c.layers() * layer + 3 * c.width + c.vocabulary);
}

// In numbers of 8 bytes a parameter: what a preset's weights are remembered in; and what the truth
// of the steps takes while it is worked out, or the truth of one pass and what each replica then
// trains with: parameters, gradients and two moments.
void check_memory_of_parameters(const Architecture& architecture, const VerifyOptions& options,
                                const std::vector<Parallelism>& meshes, const VerifySizes& sizes) {
  int dp = 1;
  for (const Parallelism& mesh : meshes) dp = std::max(dp, mesh.dp);
  constexpr double kBesides = 1, kTruth = 1, kReplica = 4;
  const double drawing = numbers_of_steps_truth(architecture, sizes.B * sizes.T, sizes.batches - 1,
                                                drawn_dtypes(options).size());
  const double numbers = kBesides + std::max(drawing, kTruth + kReplica * dp);
  require_memory(
      fmt::format("verifying the training of {} parameters at dp {}", parameter_count(architecture),
                  dp),
      8 * numbers * static_cast<double>(parameter_count(architecture)),
      "verify a smaller model: gradients are the same text at every size, as in --preset "
      "nano-cpu");
}

// Those over whose ranks and replicas every batch divides; the others are left out.
std::vector<Parallelism> meshes_that_fit(const VerifyOptions& options,
                                         std::vector<LeftOut>& left_out) {
  if (!options.backward) return options.meshes;
  std::vector<Parallelism> fit;
  std::optional<Error> refusal;
  for (const Parallelism& mesh : options.meshes) {
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

// What of the golden file was compared with the reference but with no run.
void add_held_by_no_rank(Report& report) {
  const std::vector<AgainstResult>& held = report.runs[0].against;
  for (const AgainstResult& a : report.reference_against)
    if (std::none_of(held.begin(), held.end(),
                     [&](const AgainstResult& other) { return other.tensor == a.tensor; }))
      report.not_compared.push_back(
          {a.tensor, "with the reference alone: no rank holds it in memory"});
}

void add_ties(Report& report) {
  for (const RunResult& run : report.runs)
    if (run.greedy_tie && run.mesh.tp == report.runs[0].mesh.tp)
      report.not_compared.push_back(
          {"greedy", fmt::format("after {} new tokens two logits are nearer than f32 tells apart, "
                                 "and the golden file takes the other",
                                 run.greedy_tokens)});
}

// One verification: what is told of its progress, and its passes over the runs.
class Verification {
 public:
  Verification(const WeightSource& source, const VerifyOptions& options, Report& report)
      : source_(source), options_(options), report_(report), drawn_{drawn_dtypes(options)} {
    for (const RunResult& run : report.runs)
      drawn_.ranks = std::max<int64_t>(drawn_.ranks, run.mesh.tp);
  }

  void forward() {
    begin(1);
    Truth truth = forward_truth(source_, options_.batches[0], drawn_, progress_);
    add_decode(truth, options_.batches[0].tokens);
    if (options_.golden) report_.reference_against = compare_reference(*options_.golden, truth);
    each_run("", [&](RunResult& run) { run_forward(source_, options_, truth, run, tell_); });
    if (!options_.golden) return;
    add_held_by_no_rank(report_);
    add_ties(report_);
  }

  // Two passes, so that what the first is held against is gone in the second.
  void training() {
    const bool steps = options_.batches.size() > 1;
    begin(steps ? 2 : 1);
    pass(gradient_truth(source_, options_.batches[0], drawn_, progress_), "gradients, ",
         run_gradients);
    if (steps)
      pass(steps_truth(source_, {options_.batches.begin() + 1, options_.batches.end()},
                       options_.recipe, drawn_, progress_),
           "steps, ", run_steps);
  }

 private:
  // The reference runs, then its draws in each dtype, a round for each of the steps too, and in
  // each pass every run.
  void begin(size_t passes) {
    const Tokens& tokens = options_.batches[0].tokens;
    const auto draws =
        static_cast<size_t>(draws_for(source_.architecture(), tokens.batch * tokens.length));
    const size_t rounds = options_.backward ? options_.batches.size() : 1;
    stages_ = static_cast<double>(1 + rounds * drawn_.dtypes.size() * draws +
                                  passes * report_.runs.size());
  }

  template <class Run>
  void each_run(const std::string& what, const Run& run) {
    for (RunResult& result : report_.runs) {
      malloc_trim(0);  // the heap would keep what was freed beside what the ranks take
      const Parallelism& mesh = result.mesh;
      progress_(fmt::format("{}{}, {}", what,
                            options_.backward ? mesh.text() : fmt::format("tp {}", mesh.tp),
                            name(result.dtype)));
      run(result);
    }
  }

  template <class Run>
  void pass(const Truth& truth, const std::string& what, const Run& run) {
    if (options_.golden)
      for (const std::string& name : truth.names())
        for (AgainstResult& a :
             compare_golden(*options_.golden, truth, name, DType::f64, truth.values(name)))
          report_.reference_against.push_back(std::move(a));
    each_run(what, [&](RunResult& result) { run(source_, options_, truth, result); });
  }

  const WeightSource& source_;
  const VerifyOptions& options_;
  Report& report_;
  Drawn drawn_;
  double stages_ = 1, done_ = 0;
  const TellProgress tell_ = [this](const std::string& what) {
    if (options_.progress) options_.progress(what, std::min(1.0, done_ / stages_));
  };
  const TellProgress progress_ = [this](const std::string& what) {
    tell_(what);
    ++done_;
  };
};

}  // namespace

void check_memory(const Architecture& c, const VerifyOptions& options,
                  const std::vector<Parallelism>& meshes, const VerifySizes& sizes) {
  if (meshes.empty()) fail("there is no tp to verify", "give at least one");
  int most_ranks = 1;
  for (const Parallelism& mesh : meshes) {
    check_shares(c, mesh.tp, mesh.uneven);  // a tp that cannot be is no matter of size
    most_ranks = std::max(most_ranks, mesh.tp);
  }
  if (options.backward) check_memory_of_parameters(c, options, meshes, sizes);
  const double tokens = static_cast<double>(sizes.B) * static_cast<double>(sizes.T);
  constexpr double kIds = 16;  // bytes of a token and its target, here and in the reference
  const double ids = kIds * tokens * static_cast<double>(sizes.batches);
  const double sites = 8 * tokens * numbers_at_sites(c, sizes.T);
  if (options.backward)
    return require_memory(fmt::format("verifying training on {} batches of {} x {} tokens",
                                      sizes.batches, sizes.B, sizes.T),
                          sites + ids, "use fewer or shorter sequences, or fewer steps");
  require_memory(fmt::format("verifying {} x {} tokens at tp {}", sizes.B, sizes.T, most_ranks),
                 sites * (1 + most_ranks), "use fewer or shorter sequences");
}

Report verify(const WeightSource& source, const VerifyOptions& options) {
  // Refuse what cannot work before computing anything.
  if (options.batches.empty()) fail("there is no batch to verify on", "give at least one");
  const Tokens& tokens = options.batches[0].tokens;
  Report report{.backward = options.backward,
                .architecture = source.architecture(),
                .source = source.description(),
                .batch = tokens.batch,
                .length = tokens.length,
                .steps = std::ssize(options.batches) - 1,
                .algorithm = options.algorithm,
                .runs = {},
                .left_out = {},
                .reference_against = {},
                .not_compared = {},
                .trace = {}};
  for (const Parallelism& mesh : options.meshes)
    check_shares(source.architecture(), mesh.tp, mesh.uneven);
  const std::vector<Parallelism> meshes = meshes_that_fit(options, report.left_out);
  check_memory(source.architecture(), options, meshes,
               {tokens.batch, tokens.length, std::ssize(options.batches)});
  const GoldenUse use{.training = options.backward,
                      .f64 = options.backward || has(options.dtypes, DType::f64)};
  if (options.golden) require_compared(*options.golden, use);
  require_finite(source, narrowest(options.dtypes));
  if (options.golden) report.not_compared = not_compared(*options.golden, use);
  for (DType dtype : options.dtypes)
    for (const Parallelism& mesh : meshes) {
      RunResult& run = report.runs.emplace_back();
      run.mesh = mesh;
      run.dtype = dtype;
    }
  Tracing tracing(source, options, report);
  Verification verification(source, options, report);
  if (options.backward) {
    verification.training();
  } else {
    verification.forward();
  }
  tracing.finish(report);
  return report;
}

}  // namespace tplab
