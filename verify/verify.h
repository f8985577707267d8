// The verifier: a tensor-parallel run held against the dense reference, site by site.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/shard_plan.h"
#include "model/tokens.h"
#include "model/weights.h"
#include "sim/world.h"
#include "verify/compare.h"
#include "verify/golden.h"

namespace tplab {

// How far off one site may be, from what rounding alone does to this network on these tokens.
//
// The reference runs in f64, and some more times with every operation rounded at random (rough.h):
// draws of what rounding may do here, its amplification by the network included, none of them luck
// of one run. Each operation errs by at least what it may in a tensor-parallel run in f32 or f64:
// u/√3 in the mean, a sum by what it errs when its terms are added in any order, which is worked
// out and not tried. The bound is kMargin times the root of the mean of the draws' squares.
//
// Where all of a site's error is one normal number, which is the worst case, its ratio to that root
// is Student's t of as many degrees of freedom as there are draws: beyond 6 with probability 1.1e-6
// for the 32 draws of a width of 8 or less, and for wider models, whose rows are many numbers, less
// than 1e-7 if the numbers of one row are as independent as 256 (draws.h). What is drawn is larger
// than what happens: of all numbers of 10,000 random models, forward and backward, in f32 the
// furthest came to 0.61 of its bound, in f64 to 0.65 (tests/false_alarms).
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

struct RunResult {
  int tp = 1;
  DType dtype = DType::f64;
  std::vector<SiteResult> sites;  // in the order of the network; logits last
  std::optional<double> loss, reference_loss;
  double loss_error = 0, loss_bound = 0;  // absolute
  SiteResult decode;  // logits of the last positions, one token at a time with a cache
  std::vector<AgainstResult> against;
  // The golden file's greedy tokens, reproduced: how many. In f64 only: in f32 two logits closer
  // than rounding may rightly swap. Where the golden file took the other of two such, that is a
  // tie, and the tokens after it are not compared.
  std::optional<bool> greedy_good;
  bool greedy_tie = false;
  int64_t greedy_tokens = 0;
  std::string disagreement;  // between counted and predicted collectives; empty if none
  std::vector<std::vector<Event>> forward;  // each rank's collectives in the forward pass
  std::vector<RankRecord> ranks;            // memory; owns the sites of the events
  std::optional<Finding> finding;           // the first thing that is wrong
  // The first thing that the golden file has otherwise, though tplab and its reference agree.
  std::optional<Finding> golden_finding;
  bool good() const { return !finding && !golden_finding; }
};

struct Report {
  Architecture architecture;
  std::string source;
  int64_t batch = 0, length = 0;
  Algorithm algorithm = Algorithm::direct;
  bool uneven = false;
  std::vector<RunResult> runs;
  std::vector<AgainstResult> reference_against;  // the reference itself, against the golden file
  std::vector<NotCompared> not_compared;         // the golden file's other tensors
  bool good() const;
};

struct VerifyOptions {
  std::vector<int> tps = {1, 2, 4};
  std::vector<DType> dtypes = {DType::f64, DType::f32};
  Tokens tokens;                      // [B, T]
  std::vector<int32_t> targets = {};  // [B, T] or empty: no loss
  std::optional<Golden> golden = {};
  std::string device = "cpu", comm = "threads";
  Algorithm algorithm = Algorithm::direct;
  bool uneven = false;  // of what does not divide by tp, some ranks have more
  // Told what is about to be done, and which part of the whole, 0 to 1, is done.
  std::function<void(const std::string& what, double done)> progress = {};
  // Seams for tests: break the plan, the model's weights or the collectives, and not the model.
  const WeightSource* model_weights = nullptr;  // if not those of the reference
  std::function<void(ShardPlan&)> edit_plan = {};
  CommBreakage comm_breakage = {};
};

// Throws Error(unavailable) if what is held at once, every site of the reference and of each rank's
// run in f64, is more than this machine's memory. verify() calls it; so may whoever draws tokens.
void check_memory(const Architecture& architecture, int64_t batch, int64_t length,
                  const std::vector<int>& tps, bool uneven = false);
// The numbers at all sites of one token, in a sequence of `length`.
double numbers_at_sites(const Architecture& architecture, int64_t length);

// Runs the reference once and the model at every tp and dtype. A difference is a result, not an
// exception; throws Error for a tp that does not divide or input that cannot be read, and
// Error(bad_file) for weights that are not finite or a golden file of which nothing is compared.
// Whole parameters are in memory one at a time.
Report verify(const WeightSource& source, const VerifyOptions& options);

}  // namespace tplab
