// tplab bench decode: one token after another, as a part of what reading the weights takes.
#include <fmt/format.h>

#include "cli/bench.h"
#include "model/decode_steps.h"
#include "model/plan/costs.h"
#include "sim/error.h"
#include "sim/machine/rank_numbers.h"
#include "sim/text/bytes_text.h"
#include "viz/drawing/table.h"

namespace tplab::cli {

namespace {

// Times of one tp, as a rank saw them: steps of one token for every sequence, and after each a
// plain read of what it had to read.
struct DecodeTiming : Paired {
  std::vector<double> ledger;  // of pairs of steps: time with the ledger / time without
  double read_bytes = 0;       // of the plain reads of all ranks, each time
  int64_t launches = 0;        // of a captured step, or 0
  double launch_seconds = 0;   // of one of them that does nothing, in a captured step
  std::string not_captured;    // why, or empty
  static void fields(auto& self, auto&& f) {
    f(self.work, self.limit, self.parts, self.ledger, self.read_bytes, self.launches,
      self.launch_seconds, self.not_captured);
  }
};

struct DecodeRun : ModelRun {
  std::optional<double> ledger_cost;  // none at tp 1, where nothing is recorded
  double bytes_floor_seconds = 0;     // what a plain read takes
  int64_t launches = 0;               // of a captured step, or 0
  double launches_floor_seconds = 0;  // what they take if they do nothing
  std::string not_captured;           // why, or empty
};

struct DecodeBench : ModelBench {
  int64_t steps = 0;

  void run();
  void choose_lengths(const Architecture& architecture);
  std::vector<Array> read_by_a_step(const Network& network, const KvCache& cache) const;
  void turn(Rank& rank, const Network& network, KvCache& cache, DecodeSteps& decoder,
            bool ledger_first, DecodeTiming& timing) const;
  std::vector<DecodeTiming> measure(const WeightSource& source);
  double step_bytes(const Architecture& architecture) const;
  std::string text(const std::vector<DecodeRun>& runs, const WeightSource& source) const;
  nlohmann::ordered_json document(const std::vector<DecodeRun>& runs,
                                  const WeightSource& source) const;
};

// What was not given is up to 64 positions and 32 steps, as the context allows.
void DecodeBench::choose_lengths(const Architecture& architecture) {
  const int64_t context = architecture.context;
  if (seq == 0) seq = std::min<int64_t>(64, steps == 0 ? context / 2 : context - steps);
  seq = std::max<int64_t>(seq, 1);
  if (steps == 0) steps = std::clamp<int64_t>(context - seq, 1, 32);
  if (seq + steps > context)
    fail(fmt::format("--seq {} and --steps {} are more than the model's context of {}", seq, steps,
                     context),
         context > 1 ? fmt::format("use at most {} together", context)
                     : "use a model with a longer context");
}

// Bytes that one step must read and write, of weights and cache nearly all, the mean over the
// steps.
double DecodeBench::step_bytes(const Architecture& architecture) const {
  return decode_cost(architecture, batch, seq, steps, parse_dtype(dtype)).bytes /
         static_cast<double>(steps);
}

// This rank's weights, but for the tables of which a step reads a row, and the part of the cache
// that is filled in the middle of a turn.
std::vector<Array> DecodeBench::read_by_a_step(const Network& network, const KvCache& cache) const {
  const FlatParameters& flat = network.parameters();
  std::vector<Array> arrays;
  for (const FlatEntry& entry : flat.layout.entries()) {
    const Role role = network.plan().rows()[entry.row].id.role;
    const bool is_table = role == Role::token_embedding && !network.architecture().tied_head;
    if (entry.region != Region::whole_matrices && !is_table)
      arrays.push_back(flat.values.part(entry.first, {entry.count}));
  }
  for (int64_t layer = 0; layer < network.architecture().layers(); ++layer) {
    const KvPair pair = cache.layer(layer);
    for (const Array& x : {pair.keys.array(), pair.values.array()}) {  // [B, H/tp, S, D]
      const int64_t S = x.shape()[2], D = x.shape()[3];
      for (int64_t head = 0; head < x.shape()[0] * x.shape()[1]; ++head)
        arrays.push_back(x.part(head * S * D, {(seq + steps / 2) * D}));
    }
  }
  return arrays;
}

// Of one kernel that has next to nothing to do, in a step that the device captures; 0 where it
// captures none.
double launch_seconds(Rank& rank) {
  constexpr int kLaunches = 200, kTimes = 5;
  Device& device = rank.device();
  Array x = device.allocate(DType::f32, {1}), y = device.allocate(DType::f32, {1});
  device.zero(x);
  const auto work = [&] {
    for (int i = 0; i < kLaunches; ++i) device.run(op::Add{x, x, y});
  };
  work();
  if (!device.captures()) return 0;
  const std::unique_ptr<Replay> replay = device.capture(work);
  Timing timing;
  for (int i = 0; i < kTimes; ++i) timing.add(seconds_of(rank, [&] { replay->run(); }) / kLaunches);
  return timing.best();
}

// Fills the cache, then times `steps` steps, every other one with the ledger off, and the reads.
void DecodeBench::turn(Rank& rank, const Network& network, KvCache& cache, DecodeSteps& decoder,
                       bool ledger_first, DecodeTiming& timing) const {
  const Tokens prompt = random_tokens(network.architecture(), seq),
               token = random_tokens(network.architecture(), 1);
  const std::vector<Array> arrays = read_by_a_step(network, cache);
  rank.ledger().clear();
  cache.clear();
  static_cast<void>(network.next(prompt, cache));
  const auto seconds_at_once = [&](auto work) {  // on all ranks
    rank.comm().barrier();
    return seconds_of(rank, work);
  };
  std::vector<double> seconds;
  for (int64_t step = 0; step < steps; ++step) {
    rank.ledger().enable((step % 2 == 0) == ledger_first);
    const double decoding = seconds_at_once([&] { static_cast<void>(decoder.next(token.ids)); });
    const double reading = seconds_at_once([&] {
      rank.device().read(arrays);
      rank.comm().barrier();
    });
    seconds.push_back(decoding);
    timing.work.add(decoding);
    timing.limit.add(reading);
    timing.parts.push_back(reading / decoding);
  }
  rank.comm().barrier();
  rank.ledger().enable(true);
  for (size_t i = 0; i + 1 < seconds.size(); i += 2)
    timing.ledger.push_back(ledger_first ? seconds[i] / seconds[i + 1]
                                         : seconds[i + 1] / seconds[i]);
}

std::vector<DecodeTiming> DecodeBench::measure(const WeightSource& source) {
  const auto make_turn =
      [&](Rank& rank, const std::shared_ptr<const Network>& network) -> ModelTurn<DecodeTiming> {
    auto cache = std::make_shared<KvCache>(network->new_cache(batch));
    auto decoder = std::make_shared<DecodeSteps>(*network, *cache);
    double bytes = 0;
    for (const Array& array : read_by_a_step(*network, *cache))
      bytes += static_cast<double>(array.bytes());
    bytes = sum_over_group(rank, bytes);
    const double launch = launch_seconds(rank);
    return [&, network, cache, decoder, bytes, launch, ledger_first = true](
               DecodeTiming& timing, std::optional<double>) mutable {
      timing.read_bytes = bytes;
      turn(rank, *network, *cache, *decoder, ledger_first, timing);
      timing.launches = decoder->launches();
      timing.launch_seconds = launch;
      timing.not_captured = why_not_captured(rank);
      ledger_first = !ledger_first;  // so that growing contexts favour neither
    };
  };
  return run_model<DecodeTiming>(*this, source, steps, make_turn);
}

std::string DecodeBench::text(const std::vector<DecodeRun>& runs,
                              const WeightSource& source) const {
  SideBySide table;
  std::vector<std::string> tp, ledger, bytes_floor, launches;
  std::vector<const ModelRun*> each;
  for (const DecodeRun& r : runs) {
    tp.push_back(fmt::format("{}", r.tp));
    ledger.push_back(r.ledger_cost ? fmt::format("{:+.2f} %", 100 * *r.ledger_cost) : "-");
    bytes_floor.push_back(fmt::format("{:.3f}", r.bytes_floor_seconds * 1e3));
    launches.push_back(
        r.launches == 0 ? "-"
                        : fmt::format("{:.3f} ({})", r.launches_floor_seconds * 1e3, r.launches));
    each.push_back(&r);
  }
  table.row("tp", tp);
  add_rows(table, each, "GB/s", "a plain read's GB/s");
  table.row("ms by bytes alone", bytes_floor);
  table.row("by launches alone", launches);
  table.row("the ledger's cost", ledger);
  std::string notes;
  for (const DecodeRun& r : runs)
    if (!r.not_captured.empty())
      notes += title(fmt::format("tp {}: a step is not captured: {}", r.tp, r.not_captured));
  return title(fmt::format("decode: {}, batch {}, {} cached positions, {}, {}, {} a step",
                           model.describe(source), batch, seq, counted(steps, "step"), dtype,
                           bytes_text(step_bytes(source.architecture())))) +
         table.text(output.colour()) + notes + about_samples(each);
}

nlohmann::ordered_json DecodeBench::document(const std::vector<DecodeRun>& runs,
                                             const WeightSource& source) const {
  nlohmann::ordered_json doc = header("decode", source);
  doc["seq"] = seq;
  doc["steps"] = steps;
  doc["bytes_per_step"] = step_bytes(source.architecture());
  doc["runs"] = nlohmann::ordered_json::array();
  for (const DecodeRun& r : runs) {
    nlohmann::ordered_json row = json(r, "bytes");
    row["bytes_floor_seconds"] = r.bytes_floor_seconds;
    row["launches"] = r.launches;
    row["launches_floor_seconds"] = r.launches_floor_seconds;
    row["not_captured"] = nullptr;
    if (!r.not_captured.empty()) row["not_captured"] = r.not_captured;
    row["ledger_cost"] = r.ledger_cost ? nlohmann::ordered_json(*r.ledger_cost) : nullptr;
    doc["runs"].push_back(row);
  }
  return doc;
}

void DecodeBench::run() {
  const std::unique_ptr<WeightSource> source = open();
  choose_lengths(source->architecture());
  const std::vector<DecodeTiming> timings = measure(*source);
  const double bytes = step_bytes(source->architecture());
  std::vector<DecodeRun> runs;
  for (size_t w = 0; w < tps.size(); ++w) {
    const DecodeTiming& timing = timings[w];
    runs.push_back(
        {judge(tps[w], timing, timings[0], static_cast<double>(batch), bytes, timing.read_bytes),
         {},
         timing.limit.median(),
         timing.launches,
         static_cast<double>(timing.launches) * timing.launch_seconds,
         timing.not_captured});
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
token is not part of it. GB/s are what a step's operations read and write: weights and cache, nearly
all of it. The limit is a plain read of the same weights and cache by the same threads, after each
step: "reached" is its part of the step's time, the median over all steps. All --tp are loaded at
once and run in turn, so their ratio is of one run. The ledger's cost is what recording takes: the
median over neighbouring steps, one with the ledger and one without. "by launches alone": what the
kernels and copies of a step, in brackets, take if they have nothing to do; of steps that the device
captures once and does again, as a GPU does at tp 1.)");
  command->add_options(*sub);
  sub->add_option("--seq", command->seq, "positions in the cache when timing begins (64)")
      ->check(whole_number(1));
  sub->add_option("--steps", command->steps, "steps a turn (32)")->check(whole_number(1));
  sub->callback([command] { command->run(); });
}

}  // namespace tplab::cli
