// What the benchmarks share: their options, timings and limits.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/worlds_in_turn.h"
#include "model/network.h"
#include "model/tokens.h"
#include "sim/machine/measure.h"
#include "sim/machine/world.h"

namespace tplab::cli {

// Seconds of the same thing, done again and again.
class Timing {
 public:
  void add(double seconds) { seconds_.push_back(seconds); }
  void clear() { seconds_.clear(); }
  bool empty() const { return seconds_.empty(); }
  size_t count() const { return seconds_.size(); }
  double best() const;
  double median() const;

 private:
  std::vector<double> seconds_;
};

double median(std::vector<double> values);  // REQUIRES: not empty

// Timings of some work, and of the machine's limit for it, taken in turn so that a slow second of
// the machine hits both.
struct Paired {
  Timing work, limit;
  std::vector<double> parts;  // of the limit that the work before it reached
  void clear() { *this = {}; }
};

// Times a product of all ranks (sim/machine/measure.h) beside the work of a rank, every fiftieth of
// a second or so.
class ProductBeside {
 public:
  ProductBeside(Rank& rank, DType dtype, double work_flops)
      : rank_(rank), probe_(rank.device(), dtype, rank.mesh().ranks()), work_flops_(work_flops) {}
  // The work was done once more; in how many seconds, as rank 0 saw it. Called by every rank, with
  // the same `every`: after how many times there is a product.
  void after_work(double seconds, int64_t every, Paired& timing);

 private:
  Rank& rank_;
  MatmulProbe probe_;
  double work_flops_;
  Timing since_;  // the last product
  int64_t done_ = 0;
};
// How often work of so many seconds is done between two products.
int64_t times_between_products(double work_seconds);

// What became of one tp. Rates are those of the median times.
struct ModelRun {
  int tp, threads;
  size_t samples;
  double best_seconds, median_seconds;
  double tokens_per_second, work_per_second;
  double limit, of_limit;           // the machine's work per second, and the part that was reached
  double ratio_best, ratio_median;  // to the first tp of the list
};

// A table with a column for each run and a row for each figure, so that it fits any terminal: what
// is too many for one line goes below.
class SideBySide {
 public:
  void row(const std::string& label, std::vector<std::string> cells);
  std::string text(bool colour) const;

 private:
  std::vector<std::pair<std::string, std::vector<std::string>>> rows_;
};

// A benchmark of a model: `tplab bench forward`, `decode` and `train`.
struct ModelBench {
  ModelChoice model;
  MachineChoice machine;
  Output output;
  std::vector<int> tps = {1, 2};
  std::string dtype = "f32", algorithm = "direct";
  int64_t batch = 1, seq = 0, repeat = 5;
  uint64_t seed = 1337;
  Progress progress;

  void add_options(CLI::App& app);
  // Opens the output and the weights, and checks every tp before anything is loaded.
  std::unique_ptr<WeightSource> open();
  std::vector<WorldOptions> worlds() const;
  // Cores that the ranks of a tp keep busy: threads a rank times ranks, at most all.
  int threads(int tp) const;
  // B sequences of T random tokens.
  Tokens random_tokens(const Architecture& architecture, int64_t length) const;
  // Tokens and work (FLOPs or bytes) are those of one timing, limit_work that of one of the limit.
  ModelRun judge(int tp, const Paired& timing, const Paired& first, double tokens, double work,
                 double limit_work) const;
  // A line above a table, or several if it is long.
  static std::string title(const std::string& text);
  // The rows that the tables of all begin with. `unit`: "GFLOP/s" or "GB/s".
  static void add_rows(SideBySide& table, const std::vector<const ModelRun*>& runs,
                       const std::string& unit, const std::string& limit);
  // "too few timings ...", or nothing where there are enough.
  static std::string about_samples(const std::vector<const ModelRun*>& runs);

  // What the documents of both begin with.
  nlohmann::ordered_json header(const std::string& bench, const WeightSource& source) const;
  // A row of them. `work`: "flops" or "bytes".
  static nlohmann::ordered_json json(const ModelRun& run, const std::string& work);
  // Prints the one that was asked for, and nothing more after that.
  void print(const std::string& text, const nlohmann::ordered_json& document);
};

// What a rank does `times` over in one turn; called on every rank.
using ModelTurn = std::function<void()>;
using MakeTurn =
    std::function<ModelTurn(size_t world, Rank& rank, std::shared_ptr<const Network> network)>;

// Runs the model at every tp, all of them loaded, in `repeat` rounds of one turn each. A first
// round loads the weights and warms up; it tells how often a turn of at least a fifth of a second
// repeats, and `warmed_up` is called when its timings have done that service.
//   turn_seconds(world): how long what make_turn made took, once
void run_model(ModelBench& bench, const WeightSource& source, const MakeTurn& make_turn,
               const std::function<double(size_t world)>& turn_seconds,
               const std::function<void()>& warmed_up);

void add_bench_forward(CLI::App& bench);
void add_bench_decode(CLI::App& bench);
void add_bench_train(CLI::App& bench);
void add_bench_collectives(CLI::App& bench);

}  // namespace tplab::cli
