// What the benchmarks share: their options, timings and limits.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/worlds_in_turn.h"
#include "model/gpt.h"
#include "model/tokens.h"
#include "sim/threads/crew.h"
#include "sim/world.h"

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

// What the machine can do, with some number of threads. Measured once before the benchmark and once
// after it; the larger counts, so that a bad moment does not flatter a result.
class Limits {
 public:
  using Measure = std::function<double(Crew&)>;
  Limits(const std::vector<int>& threads, Measure measure, Progress& progress);
  void measure_again();
  double of(int threads) const;

 private:
  std::vector<int> threads_;
  std::vector<double> best_;
  Measure measure_;
  Progress& progress_;
};

// What became of one tp.
struct ModelRun {
  int tp, threads;
  double best_seconds, median_seconds;
  double tokens_per_second, work_per_second;  // at best
  double limit;                               // the machine's work per second
  double ratio_best, ratio_median;            // to the first tp of the list
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
  Tokens random_tokens(const GptConfig& config, int64_t length) const;
  // What the machine can do with the threads of each tp.
  Limits limits(Limits::Measure measure);
  // Tokens and work (FLOPs or bytes) are those of one timing.
  ModelRun judge(int tp, const Timing& timing, const Timing& first, double tokens, double work,
                 const Limits& limits) const;

  // What the documents of both begin with.
  nlohmann::ordered_json header(const std::string& bench, const WeightSource& source) const;
  // A row of them. `work`: "flops" or "bytes".
  static nlohmann::ordered_json json(const ModelRun& run, const std::string& work);
  // Prints the one that was asked for, and nothing more after that.
  void print(const std::string& text, const nlohmann::ordered_json& document);
};

// What a rank does `times` over in one turn; called on every rank.
using ModelTurn = std::function<void()>;
using MakeTurn = std::function<ModelTurn(size_t world, Rank& rank, std::shared_ptr<const Gpt> gpt)>;

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
