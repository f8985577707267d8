// tplab bench forward: the whole forward pass, as a part of the matrix throughput.
#include <fmt/format.h>

#include "cli/bench.h"
#include "model/plan/costs.h"
#include "sim/error.h"

namespace tplab::cli {

namespace {

struct ForwardBench : ModelBench {
  void run();
  int64_t length(const Architecture& architecture) const;
  double flops(const Architecture& architecture) const {
    return forward_cost(architecture, batch, length(architecture), parse_dtype(dtype)).flops;
  }
  std::vector<Paired> measure(const WeightSource& source);
  std::string text(const std::vector<ModelRun>& runs, const WeightSource& source) const;
  nlohmann::ordered_json document(const std::vector<ModelRun>& runs,
                                  const WeightSource& source) const;
};

int64_t ForwardBench::length(const Architecture& architecture) const {
  const int64_t T = seq ? seq : architecture.context;
  if (T > architecture.context)
    fail(fmt::format("--seq {} is longer than the model's context of {}", T, architecture.context),
         fmt::format("use at most {}", architecture.context));
  return T;
}

// From a barrier until every rank has the logits.
std::vector<Paired> ForwardBench::measure(const WeightSource& source) {
  const int64_t T = length(source.architecture());
  const Tokens prompt = random_tokens(source.architecture(), T);
  const double work = flops(source.architecture());
  const auto make_turn = [&](Rank& rank,
                             const std::shared_ptr<const Network>& network) -> ModelTurn<Paired> {
    const auto product = std::make_shared<ProductBeside>(rank, parse_dtype(dtype), work);
    return [&, network, product](Paired& timing, std::optional<double> usual_seconds) {
      rank.ledger().clear();
      rank.comm().barrier();
      const int64_t start = rank.clock().now_ns();
      static_cast<void>(network->forward(prompt));
      rank.comm().barrier();
      const double seconds = static_cast<double>(rank.clock().now_ns() - start) * 1e-9;
      timing.work.add(seconds);
      product->after_work(seconds, usual_seconds ? times_between_products(*usual_seconds) : 1,
                          timing);
    };
  };
  return run_model<Paired>(*this, source, 1, make_turn);
}

std::string ForwardBench::text(const std::vector<ModelRun>& runs,
                               const WeightSource& source) const {
  SideBySide table;
  std::vector<std::string> tp;
  std::vector<const ModelRun*> each;
  for (const ModelRun& r : runs) {
    tp.push_back(fmt::format("{}", r.tp));
    each.push_back(&r);
  }
  table.row("tp", tp);
  add_rows(table, each, "GFLOP/s", "products' GFLOP/s");
  return title(fmt::format("forward: {}, {} x {} tokens, {}", model.describe(source), batch,
                           length(source.architecture()), dtype)) +
         table.text(output.colour()) + about_samples(each);
}

nlohmann::ordered_json ForwardBench::document(const std::vector<ModelRun>& runs,
                                              const WeightSource& source) const {
  nlohmann::ordered_json doc = header("forward", source);
  doc["seq"] = length(source.architecture());
  doc["flops"] = flops(source.architecture());
  doc["runs"] = nlohmann::ordered_json::array();
  for (const ModelRun& r : runs) doc["runs"].push_back(json(r, "flops"));
  return doc;
}

void ForwardBench::run() {
  const std::unique_ptr<WeightSource> source = open();
  const int64_t T = length(source->architecture());  // refused before the work
  const std::vector<Paired> timings = measure(*source);
  std::vector<ModelRun> runs;
  for (size_t w = 0; w < tps.size(); ++w)
    runs.push_back(judge(tps[w], timings[w], timings[0], static_cast<double>(batch * T),
                         flops(source->architecture()),
                         MatmulProbe::flops(tps[w], machine.device)));
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
in turn, so their ratio is of one run. The limit is a product of matrices of 1024 x 1024 (on a GPU
8192 x 8192) shared out over the same ranks, timed between the passes. FLOPs are the model's own, without the vocabulary's
padding.)");
  command->add_options(*sub);
  sub->add_option("--seq", command->seq, "tokens a sequence (the model's context)")
      ->check(whole_number(1));
  sub->callback([command] { command->run(); });
}

}  // namespace tplab::cli
