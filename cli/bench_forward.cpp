// tplab bench forward: the whole forward pass, as a part of the matrix throughput.
#include <fmt/format.h>

#include "cli/bench.h"
#include "model/costs.h"
#include "sim/error.h"
#include "sim/measure.h"
#include "viz/table.h"

namespace tplab::cli {

namespace {

struct ForwardRun {
  int tp, threads;
  double best_seconds, median_seconds, tokens_per_second, flops_per_second, limit;
  double ratio_best, ratio_median;  // to the first tp of the list
};

struct ForwardBench : ModelBench {
  void run();
  int64_t length(const GptConfig& config) const;
  std::vector<Timing> measure(const WeightSource& source);
  std::vector<ForwardRun> judge(const std::vector<Timing>& timings, const GptConfig& config,
                                const Limits& limits) const;
  std::string text(const std::vector<ForwardRun>& runs, const WeightSource& source) const;
  nlohmann::ordered_json json(const std::vector<ForwardRun>& runs,
                              const WeightSource& source) const;
};

int64_t ForwardBench::length(const GptConfig& config) const {
  const int64_t T = seq ? seq : config.block_size;
  if (T > config.block_size)
    fail(fmt::format("--seq {} is longer than the model's context of {}", T, config.block_size),
         fmt::format("use at most {}", config.block_size));
  return T;
}

// From a barrier until every rank has the logits.
std::vector<Timing> ForwardBench::measure(const WeightSource& source) {
  const Tokens prompt = random_tokens(source.config(), length(source.config()));
  std::vector<Timing> timings(tps.size());
  const auto make_turn = [&](size_t w, Rank& rank,
                             const std::shared_ptr<const Gpt>& gpt) -> ModelTurn {
    return [&, w, gpt] {
      rank.ledger().clear();
      rank.comm().barrier();
      const int64_t start = now_ns();
      const Tensor<Replicated> logits = gpt->forward(prompt);
      rank.comm().barrier();
      if (rank.index() == 0) timings[w].add(static_cast<double>(now_ns() - start) * 1e-9);
    };
  };
  run_model(
      *this, source, make_turn, [&](size_t w) { return timings[w].best(); },
      [&] {
        for (Timing& timing : timings) timing.clear();
      });
  return timings;
}

std::vector<ForwardRun> ForwardBench::judge(const std::vector<Timing>& timings,
                                            const GptConfig& config, const Limits& limits) const {
  const int64_t T = length(config);
  std::vector<ForwardRun> runs;
  for (size_t w = 0; w < tps.size(); ++w) {
    const double best = timings[w].best(), middle = timings[w].median();
    runs.push_back({.tp = tps[w],
                    .threads = threads(tps[w]),
                    .best_seconds = best,
                    .median_seconds = middle,
                    .tokens_per_second = static_cast<double>(batch * T) / best,
                    .flops_per_second = forward_flops(config, batch, T) / best,
                    .limit = limits.of(threads(tps[w])),
                    .ratio_best = best / timings[0].best(),
                    .ratio_median = middle / timings[0].median()});
  }
  return runs;
}

std::string ForwardBench::text(const std::vector<ForwardRun>& runs,
                               const WeightSource& source) const {
  using enum Table::Align;
  Table table({{"tp", right},
               {"threads", right},
               {"best ms", right},
               {"median ms", right},
               {"tokens/s", right},
               {"GFLOP/s", right},
               {"machine GFLOP/s", right},
               {"reached", right},
               {fmt::format("time / tp {}", tps[0]), right}});
  for (const ForwardRun& r : runs)
    table.row({{fmt::format("{}", r.tp)},
               {fmt::format("{}", r.threads)},
               {fmt::format("{:.2f}", r.best_seconds * 1e3)},
               {fmt::format("{:.2f}", r.median_seconds * 1e3)},
               {fmt::format("{:.0f}", r.tokens_per_second)},
               {fmt::format("{:.1f}", r.flops_per_second * 1e-9)},
               {fmt::format("{:.1f}", r.limit * 1e-9)},
               {fmt::format("{:.1f} %", 100 * r.flops_per_second / r.limit)},
               {fmt::format("{:.3f}", r.ratio_best)}});
  return fmt::format("forward: {}, {} x {} tokens, {}\n", model.describe(source), batch,
                     length(source.config()), dtype) +
         table.text(output.colour());
}

nlohmann::ordered_json ForwardBench::json(const std::vector<ForwardRun>& runs,
                                          const WeightSource& source) const {
  nlohmann::ordered_json doc = header("forward", source);
  doc["seq"] = length(source.config());
  doc["flops"] = forward_flops(source.config(), batch, length(source.config()));
  doc["runs"] = nlohmann::ordered_json::array();
  for (const ForwardRun& r : runs)
    doc["runs"].push_back({{"tp", r.tp},
                           {"threads", r.threads},
                           {"best_seconds", r.best_seconds},
                           {"median_seconds", r.median_seconds},
                           {"tokens_per_second", r.tokens_per_second},
                           {"flops_per_second", r.flops_per_second},
                           {"limit_flops_per_second", r.limit},
                           {"of_limit", r.flops_per_second / r.limit},
                           {"ratio_best", r.ratio_best},
                           {"ratio_median", r.ratio_median}});
  return doc;
}

void ForwardBench::run() {
  const std::unique_ptr<WeightSource> source = open();
  static_cast<void>(length(source->config()));  // refused before the work
  std::vector<int> counts;
  for (int tp : tps) counts.push_back(threads(tp));
  Limits limits(
      counts, [&](Crew& crew) { return measure_matmul_flops(crew, parse_dtype(dtype)); }, progress);
  const std::vector<Timing> timings = measure(*source);
  limits.measure_again();
  const std::vector<ForwardRun> runs = judge(timings, source->config(), limits);
  if (output.json())
    output.document(json(runs, *source));
  else
    output.text(text(runs, *source));
  output.close();
}

}  // namespace

void add_bench_forward(CLI::App& bench) {
  auto command = std::make_shared<ForwardBench>();
  CLI::App* sub = bench.add_subcommand("forward", "Forward passes, against the matrix throughput");
  sub->footer(R"(Examples:
  tplab bench forward --preset gpt2 --tp 1,2
  tplab bench forward --checkpoint ckpt.pt --tp 1,2,4 --seq 32 --batch 8 --json
A pass is timed from a barrier until every rank has the logits. All --tp are loaded at once and run
in turn, so their ratio is of one run. "machine" is the best product of square matrices with as many
threads, measured before and after. FLOPs are the model's own, without the vocabulary's padding.)");
  command->add_options(*sub);
  sub->add_option("--seq", command->seq, "tokens a sequence (the model's context)")
      ->check(whole_number(1));
  sub->callback([command] { command->run(); });
}

}  // namespace tplab::cli
