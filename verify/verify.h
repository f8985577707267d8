// The verifier: tensor-parallel runs held against the dense reference, name by name.
//
// A forward pass is held against it site by site; with `backward` so are the gradients of a batch
// and the optimizer steps on the batches after it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/parallelism.h"
#include "model/tokens.h"
#include "model/weights.h"
#include "sim/machine/world.h"
#include "verify/breakage.h"
#include "verify/compare.h"
#include "verify/golden.h"
#include "verify/reference/reference_train.h"
#include "verify/run_trace.h"

namespace tplab {

// How far off one site may be, from what rounding alone does to this network on these tokens.
//
// The reference runs in f64, and some more times with every operation rounded at random (rough.h):
// draws of what rounding may do here, its amplification by the network included, none of them luck
// of one run. Each operation errs by at least what it may in a tensor-parallel run in f32 or f64:
// u/√3 in the mean, a sum by what it errs when its terms are added in any order, which is worked
// out and not tried. In bf16 operations err as in f32, and what a run stores is rounded to bf16:
// parameters, activations and their gradients, each rank's term of a sum and the sums of them,
// and attention's probabilities where a product takes them. Gradients of parameters, losses,
// moments and masters are f32's. The bound is kMargin times the root of the mean of the draws'
// squares.
//
// Where all of a site's error is one normal number, which is the worst case, its ratio to that root
// is Student's t of as many degrees of freedom as there are draws: beyond 6 with probability 1.1e-6
// for the 32 draws of a width of 8 or less, and for wider models, whose rows are many numbers, less
// than 1e-7 if the numbers of one row are as independent as 256 (draws.h). What is drawn is larger
// than what happens: of all numbers of 10,000 random models, forward and backward, in f32 the
// furthest came to 0.61 of its bound, in f64 to 0.65; of 180 models in bf16 to 0.38
// (tests/false_alarms).
struct Bound {
  double rms = 0;      // of |error| / |expected|, 2-norms over the site
  double max_abs = 0;  // of any element
};
inline constexpr double kMargin = 6;

// Whether an error is no more than `times` the bound. NaN and infinity are not, of any bound.
bool within(const Difference& d, const Bound& bound, double times = 1);

struct SiteResult {
  std::string site;
  std::string placement;  // of the tensor on the ranks
  double rms = 0;         // |got - expected| / |expected|
  double max_abs = 0;     // largest |got - expected|
  Bound bound;
  bool replicas_identical = true;  // bit for bit, where every rank holds the whole
  bool good = false;
};

// What the first wrong site looks like, in words.
struct Finding {
  std::string site;
  std::string where;  // rank and position of the largest error
  std::string cause;  // a guess, from the shape of the error
};

// One tensor of another program's, compared (see against.h).
struct AgainstResult {
  std::string tensor;  // its name in the file
  std::string site;    // ours
  double rms = 0, max_abs = 0;
  Bound bound = {};
  bool good = false;
  std::string note = {};        // what of it was compared, where that is not all of it
  std::string difference = {};  // where the largest is, or which shapes differ; empty if good
  std::string why = {};         // a guess; empty if good
};

// One way to spread the work over ranks, in one dtype.
struct RunResult {
  Parallelism mesh;
  DType dtype = DType::f64;
  // Of a forward pass its sites in the order of the network, logits last; else the names of
  // gradient_truth and steps_truth. `replicas_identical`: over all ranks that hold the same part.
  std::vector<SiteResult> results;
  std::vector<AgainstResult> against;  // the golden file
  std::string disagreement;            // between counted and predicted collectives; empty if none
  // Each rank's collectives in the forward pass, or in the first step; none where none ended.
  std::vector<std::vector<Event>> events;
  std::vector<RankRecord> ranks;   // memory; owns the sites of the events
  std::optional<Finding> finding;  // the first thing that is wrong
  // The first thing that the golden file has otherwise, though tplab and its reference agree.
  std::optional<Finding> golden_finding;
  // Where a trace was asked for, what each rank did; until the trace is written and compared.
  std::vector<std::vector<TraceEntry>> trace;

  // Of a forward pass:
  std::optional<double> loss, reference_loss;
  double loss_error = 0, loss_bound = 0;  // absolute
  SiteResult decode = {};  // logits of the last positions, one token at a time with a cache
  // The golden file's greedy tokens, reproduced: how many. In f64 only: in f32 two logits closer
  // than rounding may rightly swap. Where the golden file took the other of two such, that is a
  // tie, and the tokens after it are not compared.
  std::optional<bool> greedy_good = {};
  bool greedy_tie = false;
  int64_t greedy_tokens = 0;

  bool good() const { return !finding && !golden_finding; }
};

// A mesh that could not run, and why.
struct LeftOut {
  Parallelism mesh;
  std::string why;
};

struct Report {
  bool backward = false;
  Architecture architecture;
  std::string source;
  int64_t batch = 0, length = 0, steps = 0;
  Algorithm algorithm = Algorithm::direct;
  std::vector<RunResult> runs;
  std::vector<LeftOut> left_out;
  std::vector<AgainstResult> reference_against;  // the reference itself, against the golden file
  std::vector<NotCompared> not_compared;         // the golden file's other tensors
  std::optional<TraceComparison> trace;          // with another run
  bool good() const;
};

// Inputs and targets, [B, T] each.
struct TrainingBatch {
  Tokens tokens;
  std::vector<int32_t> targets;  // or none, for a forward pass: no loss
};

// What every rank does, written to a file, and compared with what a file says of another run.
struct TraceOptions {
  std::string to, against;  // paths; empty: none
  uint64_t seed = 0;        // what weights and tokens were drawn from
  bool on() const { return !to.empty() || !against.empty(); }
};

struct VerifyOptions {
  bool backward = false;            // gradients and steps; else a forward pass
  std::vector<Parallelism> meshes;  // of a forward pass their tp and whether it is uneven
  std::vector<DType> dtypes = {DType::f64, DType::f32};
  // The first for the forward pass or the gradients, then one a step.
  std::vector<TrainingBatch> batches;
  std::optional<Golden> golden = {};  // whose batches these are
  TrainRecipe recipe = {1e-3, 0.9, 0.99, 1e-8, 0.1, 1.0};
  std::string device = "cpu", comm = "threads";
  double timeout_s = 300;  // WorldOptions::timeout_s
  Algorithm algorithm = Algorithm::direct;
  TraceOptions trace = {};
  // Told what is about to be done, and which part of the whole, 0 to 1, is done.
  std::function<void(const std::string& what, double done)> progress = {};
  Breakage breakage = {};
};

// A forward pass on so many ranks each.
std::vector<Parallelism> forward_meshes(const std::vector<int>& tps, bool uneven = false);
// Every sensible combination: SP off, on and gathering again where tp > 1; ZeRO where dp > 1.
std::vector<Parallelism> training_meshes(const std::vector<int>& tps, const std::vector<int>& dps,
                                         bool uneven = false);

// What is looked at: so many batches of B sequences of T tokens.
struct VerifySizes {
  int64_t B = 1, T = 1, batches = 1;
};
// Throws Error(unavailable) if what is held at once is more than this machine's memory: every site
// of the reference and of each rank's run in f64; of training the parameters, so often as the truth
// and the ranks have them. And Error(usage) for no mesh or a tp that does not divide. verify()
// calls it; so may whoever draws tokens.
void check_memory(const Architecture& architecture, const VerifyOptions& options,
                  const std::vector<Parallelism>& meshes, const VerifySizes& sizes);

// Runs the reference once and the model on every mesh in every dtype. A difference is a result, not
// an exception; with a trace, so is what another run did otherwise. A mesh over whose ranks or
// replicas the batches do not divide is left out. Throws Error(usage) for a tp that does not divide
// the model, or if every mesh would be left out, and Error(bad_file) for weights that are not
// finite or a golden file of which nothing is compared; of a trace as read_trace,
// require_same_question, require_runs and TraceWriter. Of a forward pass, whole parameters are in
// memory one at a time.
Report verify(const WeightSource& source, const VerifyOptions& options);

}  // namespace tplab
