// tplab bench forward: the whole forward pass, as a part of the matrix throughput.
#include <fmt/format.h>

#include "cli/bench.h"
#include "model/costs.h"
#include "sim/error.h"
#include "sim/measure.h"
#include "viz/table.h"

namespace tplab::cli {

namespace {

struct ForwardBench : ModelBench {
  void run();
  int64_t length(const GptConfig& config) const;
  std::vector<Timing> measure(const WeightSource& source);
  std::string text(const std::vector<ModelRun>& runs, const WeightSource& source) const;
  nlohmann::ordered_json document(const std::vector<ModelRun>& runs,
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

std::string ForwardBench::text(const std::vector<ModelRun>& runs,
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
  for (const ModelRun& r : runs)
    table.row({{fmt::format("{}", r.tp)},
               {fmt::format("{}", r.threads)},
               {fmt::format("{:.2f}", r.best_seconds * 1e3)},
               {fmt::format("{:.2f}", r.median_seconds * 1e3)},
               {fmt::format("{:.0f}", r.tokens_per_second)},
               {fmt::format("{:.1f}", r.work_per_second * 1e-9)},
               {fmt::format("{:.1f}", r.limit * 1e-9)},
               {fmt::format("{:.1f} %", 100 * r.work_per_second / r.limit)},
               {fmt::format("{:.3f}", r.ratio_best)}});
  return fmt::format("forward: {}, {} x {} tokens, {}\n", model.describe(source), batch,
                     length(source.config()), dtype) +
         table.text(output.colour());
}

nlohmann::ordered_json ForwardBench::document(const std::vector<ModelRun>& runs,
                                              const WeightSource& source) const {
  nlohmann::ordered_json doc = header("forward", source);
  doc["seq"] = length(source.config());
  doc["flops"] = forward_flops(source.config(), batch, length(source.config()));
  doc["runs"] = nlohmann::ordered_json::array();
  for (const ModelRun& r : runs) doc["runs"].push_back(json(r, "flops"));
  return doc;
}

void ForwardBench::run() {
  const std::unique_ptr<WeightSource> source = open();
  const int64_t T = length(source->config());  // refused before the work
  Limits machine_flops =
      limits([&](Crew& crew) { return measure_matmul_flops(crew, parse_dtype(dtype)); });
  const std::vector<Timing> timings = measure(*source);
  machine_flops.measure_again();
  const auto tokens = static_cast<double>(batch * T);
  const double flops = forward_flops(source->config(), batch, T);
  std::vector<ModelRun> runs;
  for (size_t w = 0; w < tps.size(); ++w)
    runs.push_back(judge(tps[w], timings[w], timings[0], tokens, flops, machine_flops));
  print(text(runs, *source), document(runs, *source));
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
