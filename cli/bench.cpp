// tplab bench: how fast, as a part of what this machine can do at best, measured in the same run.
#include "cli/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/error.h"
#include "sim/machine/measure.h"
#include "sim/random.h"
#include "verify/report_json.h"
#include "viz/drawing/table.h"

namespace tplab::cli {

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double Timing::best() const { return *std::min_element(seconds_.begin(), seconds_.end()); }
double Timing::median() const { return cli::median(seconds_); }

namespace {
constexpr size_t kColumns = 60;  // of the narrowest terminal that all must fit
}

int64_t times_between_products(double work_seconds) {
  constexpr double kBetween = 0.05;
  return std::clamp(static_cast<int64_t>(std::ceil(kBetween / work_seconds)), int64_t{1},
                    int64_t{10000});
}

int64_t times_of_a_turn(double work_seconds, int64_t most) {
  constexpr double kTurnSeconds = 0.2;
  return std::clamp(static_cast<int64_t>(std::ceil(kTurnSeconds / work_seconds)), int64_t{1}, most);
}

void ProductBeside::after_work(double seconds, int64_t every, Paired& timing) {
  since_.add(seconds);
  if (++done_ % every != 0) return;
  rank_.comm().barrier();
  rank_.dp_comm().barrier();
  const double product = seconds_of(rank_, [&] {
    probe_.run();
    rank_.comm().barrier();
    rank_.dp_comm().barrier();
  });
  timing.limit.add(product);
  timing.parts.push_back(
      work_flops_ / since_.median() /
      (MatmulProbe::flops(rank_.mesh().ranks(), rank_.device().name()) / product));
  since_.clear();
}

void SideBySide::row(const std::string& label, std::vector<std::string> cells) {
  rows_.emplace_back(label, std::move(cells));
}

std::string SideBySide::text(bool colour) const {
  constexpr size_t kGap = 2;
  size_t label = 0, cell = 0, count = 0;
  for (const auto& [name, cells] : rows_) {
    label = std::max(label, display_width(name));
    count = std::max(count, cells.size());
    for (const std::string& text : cells) cell = std::max(cell, display_width(text));
  }
  const size_t at_once = std::max<size_t>(1, (kColumns - label) / (cell + kGap));
  std::string text;
  for (size_t first = 0; first < count; first += at_once) {
    const size_t last = std::min(count, first + at_once);
    if (first > 0) text += "\n";
    std::vector<Table::Column> columns = {{rows_[0].first}};
    for (size_t i = first; i < last; ++i)
      columns.push_back({rows_[0].second[i], Table::Align::right});
    Table table(columns);
    for (size_t r = 1; r < rows_.size(); ++r) {
      std::vector<Table::Cell> cells = {{rows_[r].first}};
      for (size_t i = first; i < last; ++i) cells.push_back({rows_[r].second[i]});
      table.row(std::move(cells));
    }
    text += table.text(colour);
  }
  return text;
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
                    .algorithm = parse_algorithm(algorithm),
                    .timeout_s = machine.timeout_s});
  return list;
}

std::unique_ptr<WeightSource> ModelBench::open() {
  output.open({model.checkpoint});
  parse_dtype(dtype);
  machine.spread(tps);
  for (const WorldOptions& options : worlds()) check_world(options);
  std::unique_ptr<WeightSource> source = model.open(seed);
  for (int tp : tps) check_shares(source->architecture(), tp, model.uneven);
  return source;
}

int ModelBench::threads(int tp) const {
  return std::min(available_cores(),
                  tp * World({.tp = tp, .comm = machine.comm}).threads_per_rank());
}

Tokens ModelBench::random_tokens(const Architecture& architecture, int64_t length) const {
  require_memory(fmt::format("a batch of {} x {} tokens", batch, length),
                 4 * static_cast<double>(batch) * static_cast<double>(length) *
                     static_cast<double>(architecture.width + first_mlp(architecture).width +
                                         architecture.vocabulary),
                 "use fewer or shorter sequences: --batch, --seq");
  const RandomStream stream(seed, "bench tokens");
  Tokens tokens{batch, length, {}};
  for (int64_t i = 0; i < batch * length; ++i) {
    const double u = stream.uniform(static_cast<uint64_t>(i));
    tokens.ids.push_back(static_cast<int32_t>(u * static_cast<double>(architecture.vocabulary)));
  }
  return tokens;
}

ModelRun ModelBench::judge(int tp, const Paired& timing, const Paired& first, double tokens,
                           double work, double limit_work) const {
  const double best = timing.work.best(), middle = timing.work.median();
  return {.tp = tp,
          .threads = threads(tp),
          .samples = timing.work.count(),
          .best_seconds = best,
          .median_seconds = middle,
          .tokens_per_second = tokens / middle,
          .work_per_second = work / middle,
          .limit = limit_work / timing.limit.median(),
          .of_limit = cli::median(timing.parts),
          .ratio_best = best / first.work.best(),
          .ratio_median = middle / first.work.median()};
}

std::string ModelBench::title(const std::string& text) { return wrapped(text, kColumns) + "\n"; }

void ModelBench::add_rows(SideBySide& table, const std::vector<const ModelRun*>& runs,
                          const std::string& unit, const std::string& limit) {
  const auto row = [&](const std::string& label, auto text) {
    std::vector<std::string> cells;
    cells.reserve(runs.size());
    for (const ModelRun* run : runs) cells.push_back(text(*run));
    table.row(label, std::move(cells));
  };
  row("threads", [](const ModelRun& r) { return fmt::format("{}", r.threads); });
  row("best ms", [](const ModelRun& r) { return fmt::format("{:.3f}", r.best_seconds * 1e3); });
  row("median ms", [](const ModelRun& r) { return fmt::format("{:.3f}", r.median_seconds * 1e3); });
  row("tokens/s", [](const ModelRun& r) { return fmt::format("{:.1f}", r.tokens_per_second); });
  row(unit, [](const ModelRun& r) { return fmt::format("{:.2f}", r.work_per_second * 1e-9); });
  row(limit, [](const ModelRun& r) { return fmt::format("{:.2f}", r.limit * 1e-9); });
  row("reached", [](const ModelRun& r) { return fmt::format("{:.1f} %", 100 * r.of_limit); });
  row("time / first", [](const ModelRun& r) { return fmt::format("{:.3f}", r.ratio_median); });
}

std::string ModelBench::about_samples(const std::vector<const ModelRun*>& runs) {
  constexpr size_t kEnough = 5;
  size_t least = runs[0]->samples;
  for (const ModelRun* run : runs) least = std::min(least, run->samples);
  if (least >= kEnough) return "";
  return title(fmt::format("only {} timing{} of a run, where a median needs {}: raise --repeat",
                           least, least == 1 ? "" : "s", kEnough));
}

nlohmann::ordered_json ModelBench::json(const ModelRun& run, const std::string& work) {
  return {{"tp", run.tp},
          {"threads", run.threads},
          {"samples", run.samples},
          {"best_seconds", run.best_seconds},
          {"median_seconds", run.median_seconds},
          {"tokens_per_second", run.tokens_per_second},
          {work + "_per_second", run.work_per_second},
          {"limit_" + work + "_per_second", run.limit},
          {"of_limit", run.of_limit},
          {"ratio_best", run.ratio_best},
          {"ratio_median", run.ratio_median}};
}

void ModelBench::print(const std::string& text, const nlohmann::ordered_json& document) {
  if (output.json())
    output.document(document);
  else
    output.lines(text);
  output.close();
}

nlohmann::ordered_json ModelBench::header(const std::string& bench,
                                          const WeightSource& source) const {
  return {{"schema", 1},
          {"bench", bench},
          {"source", model.describe(source)},
          {"config", to_json(source.architecture())},
          {"dtype", dtype},
          {"algorithm", algorithm},
          {"batch", batch},
          {"repeat", repeat}};
}

void add_bench(CLI::App& app, int&) {
  CLI::App* sub = app.add_subcommand(
      "bench",
      "Measure forward, decode, training, collectives and attention, against the machine's limits");
  sub->footer(R"(Examples:
  tplab bench forward --preset gpt2 --tp 1,2
  tplab bench decode --preset gpt2 --tp 1,2,4
  tplab bench train --preset nano-cpu
  tplab bench collectives --tp 2,4 --op all_reduce
  tplab bench attention --dtype bf16 --device cuda
Times are the device's own where it has a clock, as GPUs do with their events, and else this
machine's. Rates are those of the median time; the best beside it shows how quiet the machine was. The limit
is measured between the timings, by the same threads.)");
  sub->require_subcommand(1);
  add_bench_forward(*sub);
  add_bench_decode(*sub);
  add_bench_train(*sub);
  add_bench_collectives(*sub);
  add_bench_attention(*sub);
}

}  // namespace tplab::cli
