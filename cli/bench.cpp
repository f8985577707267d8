// tplab bench: how fast, as a part of what this machine can do at best, measured in the same run.
#include "cli/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/crew_of.h"
#include "cli/watched_source.h"
#include "sim/error.h"
#include "sim/measure.h"
#include "sim/random.h"
#include "verify/report_json.h"

namespace tplab::cli {

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double Timing::best() const { return *std::min_element(seconds_.begin(), seconds_.end()); }
double Timing::median() const { return cli::median(seconds_); }

Limits::Limits(const std::vector<int>& threads, Measure measure, Progress& progress)
    : threads_(threads), measure_(std::move(measure)), progress_(progress) {
  std::sort(threads_.begin(), threads_.end());
  threads_.erase(std::unique(threads_.begin(), threads_.end()), threads_.end());
  best_.assign(threads_.size(), 0);
  measure_again();
}

void Limits::measure_again() {
  for (size_t i = 0; i < threads_.size(); ++i) {
    progress_.show("measuring the machine",
                   static_cast<double>(i) / static_cast<double>(threads_.size()));
    best_[i] = std::max(best_[i], with_crew(threads_[i], measure_));
  }
  progress_.erase();
}

double Limits::of(int threads) const {
  const auto found = std::find(threads_.begin(), threads_.end(), threads);
  return best_[static_cast<size_t>(found - threads_.begin())];
}

void ModelBench::add_options(CLI::App& app) {
  model.add_options(app);
  add_tps(app, tps);
  model.add_uneven(app);
  add_dtype(app, dtype);
  app.add_option("--batch", batch, "sequences")->check(whole_number(1))->capture_default_str();
  app.add_option("--repeat", repeat, "rounds; every --tp has a turn in each")
      ->check(whole_number(1))
      ->capture_default_str();
  add_algorithm(app, algorithm);
  add_seed(app, seed);
  machine.add_options(app);
  output.add_options(app);
}

std::vector<WorldOptions> ModelBench::worlds() const {
  std::vector<WorldOptions> list;
  for (int tp : tps)
    list.push_back({.tp = tp,
                    .device = machine.device,
                    .comm = machine.comm,
                    .algorithm = parse_algorithm(algorithm)});
  return list;
}

std::unique_ptr<WeightSource> ModelBench::open() {
  output.open({model.checkpoint});
  parse_dtype(dtype);
  for (const WorldOptions& options : worlds()) static_cast<void>(World(options));
  std::unique_ptr<WeightSource> source = model.open(seed);
  for (int tp : tps) static_cast<void>(ShardPlan(source->config(), tp));
  return source;
}

int ModelBench::threads(int tp) const {
  return std::min(available_cores(), tp * World({.tp = tp}).threads_per_rank());
}

Tokens ModelBench::random_tokens(const GptConfig& config, int64_t length) const {
  require_memory(fmt::format("a batch of {} x {} tokens", batch, length),
                 4 * static_cast<double>(batch) * static_cast<double>(length) *
                     static_cast<double>(config.n_embd + config.n_inner + config.vocab_size),
                 "use fewer or shorter sequences: --batch, --seq");
  const RandomStream stream(seed, "bench tokens");
  Tokens tokens{batch, length, {}};
  for (int64_t i = 0; i < batch * length; ++i) {
    const double u = stream.uniform(static_cast<uint64_t>(i));
    tokens.ids.push_back(static_cast<int32_t>(u * static_cast<double>(config.vocab_size)));
  }
  return tokens;
}

Limits ModelBench::limits(Limits::Measure measure) {
  std::vector<int> counts;
  for (int tp : tps) counts.push_back(threads(tp));
  return Limits(counts, std::move(measure), progress);
}

ModelRun ModelBench::judge(int tp, const Timing& timing, const Timing& first, double tokens,
                           double work, const Limits& limits) const {
  const double best = timing.best(), middle = timing.median();
  return {.tp = tp,
          .threads = threads(tp),
          .best_seconds = best,
          .median_seconds = middle,
          .tokens_per_second = tokens / best,
          .work_per_second = work / best,
          .limit = limits.of(threads(tp)),
          .ratio_best = best / first.best(),
          .ratio_median = middle / first.median()};
}

nlohmann::ordered_json ModelBench::json(const ModelRun& run, const std::string& work) {
  return {{"tp", run.tp},
          {"threads", run.threads},
          {"best_seconds", run.best_seconds},
          {"median_seconds", run.median_seconds},
          {"tokens_per_second", run.tokens_per_second},
          {work + "_per_second", run.work_per_second},
          {"limit_" + work + "_per_second", run.limit},
          {"of_limit", run.work_per_second / run.limit},
          {"ratio_best", run.ratio_best},
          {"ratio_median", run.ratio_median}};
}

void ModelBench::print(const std::string& text, const nlohmann::ordered_json& document) {
  if (output.json())
    output.document(document);
  else
    output.text(text);
  output.close();
}

nlohmann::ordered_json ModelBench::header(const std::string& bench,
                                          const WeightSource& source) const {
  return {{"schema", 1},
          {"bench", bench},
          {"source", model.describe(source)},
          {"config", to_json(source.config())},
          {"dtype", dtype},
          {"algorithm", algorithm},
          {"batch", batch},
          {"repeat", repeat}};
}

void run_model(ModelBench& bench, const WeightSource& source, const MakeTurn& make_turn,
               const std::function<double(size_t)>& turn_seconds,
               const std::function<void()>& warmed_up) {
  constexpr double kTurnSeconds = 0.2;
  constexpr int64_t kMostTimes = 1000;
  const size_t n = bench.tps.size();
  std::vector<int64_t> times(n, 1);
  std::vector<std::unique_ptr<WatchedSource>> weights(n);
  WorldsInTurn worlds(bench.worlds(), [&](size_t w, Rank& rank) -> WorldsInTurn::Turn {
    const ShardPlan plan(source.config(), bench.tps[w]);
    auto gpt = std::make_shared<const Gpt>(rank, *weights[w], plan, parse_dtype(bench.dtype));
    return [&times, w, turn = make_turn(w, rank, std::move(gpt))] {
      for (int64_t i = 0; i < times[w]; ++i) turn();
    };
  });

  // Load and warm up.
  for (size_t w = 0; w < n; ++w) {
    const ShardPlan plan(source.config(), bench.tps[w]);
    weights[w] = std::make_unique<WatchedSource>(source, plan.total_count(), bench.progress);
    worlds.run(w);
    times[w] = std::clamp(static_cast<int64_t>(std::ceil(kTurnSeconds / turn_seconds(w))),
                          int64_t{1}, kMostTimes);
  }
  warmed_up();

  // Measure.
  for (int64_t round = 0; round < bench.repeat; ++round) {
    for (size_t w = 0; w < n; ++w) {
      const auto turn = static_cast<double>(static_cast<size_t>(round) * n + w);
      bench.progress.show(
          fmt::format("round {} of {}, tp {}", round + 1, bench.repeat, bench.tps[w]),
          turn / static_cast<double>(static_cast<size_t>(bench.repeat) * n));
      worlds.run(w);
    }
  }
  bench.progress.erase();
}

void add_bench(CLI::App& app, int&) {
  CLI::App* sub = app.add_subcommand(
      "bench", "Measure forward, decode, training and collectives against the machine's limits");
  sub->footer(R"(Examples:
  tplab bench forward --preset gpt2 --tp 1,2
  tplab bench decode --preset gpt2 --tp 1,2,4
  tplab bench train --preset nano-cpu
  tplab bench collectives --tp 2,4 --op all_reduce
Rates are those of the best time; the median beside it shows how quiet the machine was.)");
  sub->require_subcommand(1);
  add_bench_forward(*sub);
  add_bench_decode(*sub);
  add_bench_train(*sub);
  add_bench_collectives(*sub);
}

}  // namespace tplab::cli
