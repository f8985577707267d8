// tplab bench decode: one token after another, as a part of the memory's read bandwidth.
#include <fmt/format.h>

#include "cli/bench.h"
#include "model/costs.h"
#include "sim/error.h"
#include "sim/measure.h"
#include "viz/table.h"

namespace tplab::cli {

namespace {

// Times of one tp. A step is one token for every sequence.
struct DecodeTiming {
  Timing steps;                // of every step, as rank 0 saw them
  std::vector<double> ledger;  // of pairs of steps: time with the ledger / time without
};

struct DecodeRun : ModelRun {
  std::optional<double> ledger_cost;  // none at tp 1, where nothing is recorded
};

struct DecodeBench : ModelBench {
  int64_t steps = 32;

  void run();
  void check_lengths(const GptConfig& config) const;
  void turn(Rank& rank, const Gpt& gpt, KvCache& cache, bool ledger_first,
            DecodeTiming& timing) const;
  std::vector<DecodeTiming> measure(const WeightSource& source);
  double step_bytes(const GptConfig& config) const;
  std::string text(const std::vector<DecodeRun>& runs, const WeightSource& source) const;
  nlohmann::ordered_json document(const std::vector<DecodeRun>& runs,
                                  const WeightSource& source) const;
};

void DecodeBench::check_lengths(const GptConfig& config) const {
  if (seq + steps > config.block_size)
    fail(fmt::format("--seq {} and --steps {} are more than the model's context of {}", seq, steps,
                     config.block_size),
         fmt::format("use at most {} together", config.block_size));
}

// Bytes of weights and cache that one step must read, the mean over the steps.
double DecodeBench::step_bytes(const GptConfig& config) const {
  const DType type = parse_dtype(dtype);
  double total = 0;
  for (int64_t past = seq; past < seq + steps; ++past) {
    const double cache = 2 * static_cast<double>(config.n_layer * config.n_embd * (past + 1)) *
                         static_cast<double>(size_bytes(type));
    total += decode_bytes(config, past, type) + static_cast<double>(batch - 1) * cache;
  }
  return total / static_cast<double>(steps);
}

// Fills the cache, then times `steps` steps, every other one with the ledger off.
void DecodeBench::turn(Rank& rank, const Gpt& gpt, KvCache& cache, bool ledger_first,
                       DecodeTiming& timing) const {
  const Tokens prompt = random_tokens(gpt.config(), seq), token = random_tokens(gpt.config(), 1);
  rank.ledger().clear();
  cache.clear();
  static_cast<void>(gpt.next(prompt, cache));
  std::vector<double> seconds;
  rank.comm().barrier();
  int64_t before = now_ns();
  for (int64_t step = 0; step < steps; ++step) {
    rank.ledger().enable((step % 2 == 0) == ledger_first);
    static_cast<void>(gpt.next(token, cache));
    const int64_t now = now_ns();
    seconds.push_back(static_cast<double>(now - before) * 1e-9);
    before = now;
  }
  rank.comm().barrier();
  rank.ledger().enable(true);
  if (rank.index() > 0) return;
  for (double step : seconds) timing.steps.add(step);
  for (size_t i = 0; i + 1 < seconds.size(); i += 2)
    timing.ledger.push_back(ledger_first ? seconds[i] / seconds[i + 1]
                                         : seconds[i + 1] / seconds[i]);
}

std::vector<DecodeTiming> DecodeBench::measure(const WeightSource& source) {
  std::vector<DecodeTiming> timings(tps.size());
  const auto make_turn = [&](size_t w, Rank& rank,
                             const std::shared_ptr<const Gpt>& gpt) -> ModelTurn {
    auto cache = std::make_shared<KvCache>(gpt->new_cache(batch));
    return [&, w, gpt, cache, ledger_first = true]() mutable {
      turn(rank, *gpt, *cache, ledger_first, timings[w]);
      ledger_first = !ledger_first;  // so that growing contexts favour neither
    };
  };
  run_model(
      *this, source, make_turn,
      [&](size_t w) { return timings[w].steps.best() * static_cast<double>(steps); },
      [&] {
        for (DecodeTiming& timing : timings) timing = {};
      });
  return timings;
}

std::string DecodeBench::text(const std::vector<DecodeRun>& runs,
                              const WeightSource& source) const {
  using enum Table::Align;
  Table table({{"tp", right},
               {"threads", right},
               {"best ms", right},
               {"median ms", right},
               {"tokens/s", right},
               {"GB/s", right},
               {"machine GB/s", right},
               {"reached", right},
               {fmt::format("time / tp {}", tps[0]), right},
               {"ledger", right}});
  for (const DecodeRun& r : runs)
    table.row({{fmt::format("{}", r.tp)},
               {fmt::format("{}", r.threads)},
               {fmt::format("{:.3f}", r.best_seconds * 1e3)},
               {fmt::format("{:.3f}", r.median_seconds * 1e3)},
               {fmt::format("{:.1f}", r.tokens_per_second)},
               {fmt::format("{:.2f}", r.work_per_second * 1e-9)},
               {fmt::format("{:.2f}", r.limit * 1e-9)},
               {fmt::format("{:.1f} %", 100 * r.work_per_second / r.limit)},
               {fmt::format("{:.3f}", r.ratio_best)},
               {r.ledger_cost ? fmt::format("{:+.2f} %", 100 * *r.ledger_cost) : "-"}});
  return fmt::format("decode: {}, batch {}, {} cached positions, {} steps, {}, {} a step\n",
                     model.describe(source), batch, seq, steps, dtype,
                     human_bytes(step_bytes(source.config()))) +
         table.text(output.colour());
}

nlohmann::ordered_json DecodeBench::document(const std::vector<DecodeRun>& runs,
                                             const WeightSource& source) const {
  nlohmann::ordered_json doc = header("decode", source);
  doc["seq"] = seq;
  doc["steps"] = steps;
  doc["bytes_per_step"] = step_bytes(source.config());
  doc["runs"] = nlohmann::ordered_json::array();
  for (const DecodeRun& r : runs) {
    nlohmann::ordered_json row = json(r, "bytes");
    row["ledger_cost"] = r.ledger_cost ? nlohmann::ordered_json(*r.ledger_cost) : nullptr;
    doc["runs"].push_back(row);
  }
  return doc;
}

void DecodeBench::run() {
  const std::unique_ptr<WeightSource> source = open();
  if (seq == 0) seq = std::min<int64_t>(64, source->config().block_size / 2);
  check_lengths(source->config());
  Limits machine_reads = limits(measure_read_bandwidth);
  const std::vector<DecodeTiming> timings = measure(*source);
  machine_reads.measure_again();
  const auto tokens = static_cast<double>(batch);
  const double bytes = step_bytes(source->config());
  std::vector<DecodeRun> runs;
  for (size_t w = 0; w < tps.size(); ++w) {
    const DecodeTiming& timing = timings[w];
    runs.push_back(
        {judge(tps[w], timing.steps, timings[0].steps, tokens, bytes, machine_reads), {}});
    if (tps[w] > 1 && !timing.ledger.empty()) runs[w].ledger_cost = median(timing.ledger) - 1;
  }
  print(text(runs, *source), document(runs, *source));
}

}  // namespace

void add_bench_decode(CLI::App& bench) {
  auto command = std::make_shared<DecodeBench>();
  CLI::App* sub = bench.add_subcommand("decode", "Token after token, against the memory's reads");
  sub->footer(R"(Examples:
  tplab bench decode --preset gpt2 --tp 1,2
  tplab bench decode --preset gpt2-medium --tp 2,8 --seq 512 --steps 64 --json
A step is the model's next token for every sequence, until every rank has the logits; choosing the
token is not part of it. GB/s are the weights and the cache, each read once a step; "machine" is the
read bandwidth of as many threads, which models that stay in the caches exceed. All --tp are loaded
at once and run in turn, so their ratio is of one run. "ledger" is what recording costs: the median
over neighbouring steps, one with the ledger and one without.)");
  command->add_options(*sub);
  sub->add_option("--seq", command->seq, "positions in the cache when timing begins (64)")
      ->check(whole_number(1));
  sub->add_option("--steps", command->steps, "steps a turn")
      ->check(whole_number(1))
      ->capture_default_str();
  sub->callback([command] { command->run(); });
}

}  // namespace tplab::cli
