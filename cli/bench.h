// What the benchmarks share: their options, timings and limits.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/counted_source.h"
#include "cli/worlds_in_turn.h"
#include "model/network.h"
#include "model/tokens.h"
#include "sim/machine/measure.h"
#include "sim/machine/rank_numbers.h"
#include "sim/machine/world.h"

namespace tplab::cli {

// Seconds of the same thing, done again and again.
class Timing {
 public:
  void add(double seconds) { seconds_.push_back(seconds); }
  void clear() { seconds_.clear(); }
  size_t count() const { return seconds_.size(); }
  const std::vector<double>& seconds() const { return seconds_; }
  double best() const;
  double median() const;
  static void fields(auto& self, auto&& f) { f(self.seconds_); }

 private:
  std::vector<double> seconds_;
};

double median(std::vector<double> values);  // REQUIRES: not empty

// Timings of some work, and of the machine's limit for it, taken in turn so that a slow second of
// the machine hits both. Each rank takes its own, and returns them; rank 0's are what is reported.
struct Paired {
  Timing work, limit;
  std::vector<double> parts;  // of the limit that the work before it reached
};

// Seconds that this rank takes for `work`, until its device has done it: by the device's own clock
// where it has one, so that what a GPU does is timed and not who waits for it.
template <class Work>
double seconds_of(Rank& rank, const Work& work) {
  Device& device = rank.device();
  if (const std::shared_ptr<void> begin = device.mark()) {
    work();
    return device.seconds_between(begin, device.mark());
  }
  const int64_t start = rank.clock().now_ns();
  work();
  device.wait();
  return static_cast<double>(rank.clock().now_ns() - start) * 1e-9;
}

// Times a product of all ranks (sim/machine/measure.h) beside the work of a rank, every fiftieth of
// a second or so.
class ProductBeside {
 public:
  ProductBeside(Rank& rank, DType dtype, double work_flops)
      : rank_(rank), probe_(rank.device(), dtype, rank.mesh().ranks()), work_flops_(work_flops) {}
  // The work was done once more; in how many seconds, as this rank saw it. Called by every rank,
  // with the same `every`: after how many times there is a product.
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
// How often it is done in a turn, which takes a fifth of a second at least.
int64_t times_of_a_turn(double work_seconds, int64_t most);

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

// What a rank does `times` over in one turn. It adds what it measured to its rank's timings.
// usual_seconds: what the first one took on rank 0, the same on every rank; absent in the first.
template <class Measured>
using ModelTurn = std::function<void(Measured& timing, std::optional<double> usual_seconds)>;

// Runs the model at every tp, all of them loaded, in `repeat` rounds of one turn each. A first
// round loads the weights and warms up; it tells how often a turn of at least a fifth of a second
// repeats, and its timings are forgotten when they have done that service. Returns rank 0's
// timings, by tp.
//   make_turn(rank, network): the rank's ModelTurn; timings_of_one: how many it adds to timing.work
template <class Measured, class MakeTurn>
std::vector<Measured> run_model(ModelBench& bench, const WeightSource& source,
                                int64_t timings_of_one, const MakeTurn& make_turn) {
  const size_t n = bench.tps.size();
  std::vector<ShardPlan> plans;
  std::vector<std::unique_ptr<const CountedSource>> weights;
  plans.reserve(n);
  weights.reserve(n);
  for (int tp : bench.tps) {
    const ShardPlan& plan = plans.emplace_back(source.architecture(), tp, bench.model.uneven);
    weights.push_back(
        std::make_unique<const CountedSource>(source, plan.total_count(), bench.progress));
  }
  const auto show = [&](int64_t round, size_t w) {
    if (round == 0) return;  // loading has a bar of its own
    const auto turn = static_cast<double>(static_cast<size_t>(round - 1) * n + w);
    bench.progress.show(fmt::format("round {} of {}, tp {}", round, bench.repeat, bench.tps[w]),
                        turn / static_cast<double>(static_cast<size_t>(bench.repeat) * n));
  };
  auto results = run_in_turn(
      bench.worlds(), bench.repeat + 1, show, [&](size_t w, Rank& rank, RankTurns& turns) {
        Measured timing;
        if (!turns.next()) return timing;
        const auto network =
            std::make_shared<const Network>(rank, *weights[w], plans[w], parse_dtype(bench.dtype));
        const ModelTurn<Measured> turn = make_turn(rank, network);
        turn(timing, {});
        const double seconds =
            from_rank_0(rank, timing.work.best() * static_cast<double>(timings_of_one));
        const int64_t times = times_of_a_turn(seconds, 1000);
        timing = {};
        while (turns.next())
          for (int64_t i = 0; i < times; ++i) turn(timing, seconds);
        return timing;
      });
  bench.progress.erase();
  std::vector<Measured> of_rank_0;
  of_rank_0.reserve(n);
  for (std::vector<Measured>& of_ranks : results) of_rank_0.push_back(std::move(of_ranks[0]));
  return of_rank_0;
}

void add_bench_forward(CLI::App& bench);
void add_bench_decode(CLI::App& bench);
void add_bench_train(CLI::App& bench);
void add_bench_collectives(CLI::App& bench);
void add_bench_attention(CLI::App& bench);

}  // namespace tplab::cli
