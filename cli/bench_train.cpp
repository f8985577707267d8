// tplab bench train: optimizer steps on several meshes side by side.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "cli/bench.h"
#include "cli/parallelism_options.h"
#include "model/plan/costs.h"
#include "model/plan/training_memory.h"
#include "model/training/results.h"
#include "model/training/trainer.h"
#include "sim/error.h"
#include "sim/text/bytes_text.h"
#include "viz/drawing/table.h"

namespace tplab::cli {

namespace {

// What one rank of a mesh measured.
struct RankTiming : Paired {
  RankUse use;
  int64_t peak_bytes = 0;
  static void fields(auto& self, auto&& f) {
    f(self.work, self.limit, self.parts, self.use, self.peak_bytes);
  }
};
using MeshTiming = std::vector<RankTiming>;  // by global index

struct TrainRun : ModelRun {
  Parallelism mesh;
  double communication;                 // part of the ranks' time, waiting included
  int64_t tp_bytes, dp_bytes;           // a step, all ranks together
  int64_t peak_bytes, predicted_bytes;  // of the rank that has most
};

struct TrainBench : ModelBench {
  std::vector<int> dps = {1, 2};
  int64_t steps = 0;  // 0: as many as take a fifth of a second
  bool no_sp = false;
  Parallelism parallelism;  // of every mesh: ZeRO, regather where SP is, recompute

  void run();

 private:
  std::vector<Parallelism> meshes_;
  bool together_ = true;  // all loaded at once

  void check_meshes(const WeightSource& source);
  TrainerOptions options(const Parallelism& mesh) const;
  double flops(const Architecture& architecture) const {
    return training_cost(architecture, batch, seq, parse_dtype(dtype)).flops;
  }
  TrainingMemory memory(const Parallelism& mesh, const WeightSource& source) const;
  WorldOptions world(const Parallelism& mesh) const;
  void choose_together(const WeightSource& source);
  std::vector<MeshTiming> measure(size_t first, size_t count, const WeightSource& source);
  TrainRun judge_mesh(size_t i, const std::vector<MeshTiming>& timings,
                      const WeightSource& source) const;
  std::string text(const std::vector<TrainRun>& runs, const WeightSource& source) const;
  nlohmann::ordered_json document(const std::vector<TrainRun>& runs,
                                  const WeightSource& source) const;
};

TrainerOptions TrainBench::options(const Parallelism& mesh) const {
  return {.dtype = parse_dtype(dtype), .parallelism = mesh, .seed = seed};
}

TrainingMemory TrainBench::memory(const Parallelism& mesh, const WeightSource& source) const {
  return training_memory(source.architecture(), options(mesh), mesh.micro_batch(batch), seq);
}

WorldOptions TrainBench::world(const Parallelism& mesh) const {
  return {.tp = mesh.tp,
          .dp = mesh.dp,
          .device = machine.device,
          .comm = machine.comm,
          .algorithm = parse_algorithm(algorithm),
          .timeout_s = machine.timeout_s};
}

// Every mesh is refused before anything is loaded; where sequence parallelism alone does not
// divide, it is left out.
void TrainBench::check_meshes(const WeightSource& source) {
  const int64_t longest = source.architecture().context;
  if (seq == 0) seq = longest;
  if (seq > longest)
    fail(fmt::format("--seq {} is longer than the model's context of {}", seq, longest),
         fmt::format("use at most {}", longest));
  for (int dp : dps)
    for (int tp : tps)
      for (bool sp : {false, true})
        if (!sp || (tp > 1 && !no_sp)) {
          Parallelism& mesh = meshes_.emplace_back(parallelism);
          mesh.tp = tp;
          mesh.dp = dp;
          mesh.sp = sp;
          mesh.regather = sp && parallelism.regather;
          mesh.uneven = model.uneven;
        }
  std::erase_if(meshes_, [&](const Parallelism& mesh) {
    check_world(world(mesh));
    try {
      mesh.check_batch(batch, seq);
      return false;
    } catch (const Error& error) {
      if (!mesh.sp) throw;  // nobody asked for SP
      to_stderr("tplab: note: {} is left out: {}\n", mesh.text(), error.problem());
      return true;
    }
  });
}

// Side by side if this machine's memory allows, so that a slow second hits all; else one by one.
void TrainBench::choose_together(const WeightSource& source) {
  double all = 0;
  for (const Parallelism& mesh : meshes_) {
    const double bytes = static_cast<double>(memory(mesh, source).total()) * mesh.mesh().ranks();
    require_memory("training at " + mesh.text(), bytes,
                   "use a smaller model or batch, --recompute, or fewer meshes: --tp, --dp");
    all += bytes;
  }
  try {
    require_memory("every mesh at once", all, "");
  } catch (const Error&) {
    together_ = false;
  }
}

// One rank of a mesh: what it trains, and the product of matrices that is timed beside it.
class Learner {
 public:
  Learner(Rank& rank, std::unique_ptr<Trainer> trainer)
      : rank_(rank), trainer_(std::move(trainer)) {}

  // Steps, each from a barrier until every rank has updated its weights.
  void take_steps(const Tokens& tokens, const std::vector<int32_t>& targets, int64_t steps,
                  int64_t every, RankTiming& timing);
  // When the first steps have shown the memory they need.
  void add_product(DType dtype, double work_flops) { product_.emplace(rank_, dtype, work_flops); }

 private:
  void barrier() {
    rank_.comm().barrier();
    rank_.dp_comm().barrier();
  }

  Rank& rank_;
  std::unique_ptr<Trainer> trainer_;
  std::optional<ProductBeside> product_;
};

void Learner::take_steps(const Tokens& tokens, const std::vector<int32_t>& targets, int64_t steps,
                         int64_t every, RankTiming& timing) {
  for (int64_t i = 0; i < steps; ++i) {
    barrier();
    rank_.ledger().clear();
    const double seconds = seconds_of(rank_, [&] {
      static_cast<void>(trainer_->step(tokens, targets, i, 1e-4));
      barrier();
    });
    timing.use.step_time_s += seconds;
    timing.use.add(rank_.ledger().events());
    timing.work.add(seconds);
    if (product_) product_->after_work(seconds, every, timing);
  }
}

// Meshes first .. first + count - 1 in turn, all of them loaded. A first round loads and warms up.
std::vector<MeshTiming> TrainBench::measure(size_t first, size_t count,
                                            const WeightSource& source) {
  const Tokens tokens = random_tokens(source.architecture(), seq);
  std::vector<int32_t> targets(tokens.ids.begin() + 1, tokens.ids.end());
  targets.push_back(tokens.ids.front());
  std::vector<WorldOptions> worlds;
  for (size_t i = first; i < first + count; ++i) worlds.push_back(world(meshes_[i]));
  const double work = flops(source.architecture());
  const auto rounds = static_cast<size_t>(repeat + 1);
  const auto show = [&](int64_t round, size_t w) {
    const size_t done = first * rounds + static_cast<size_t>(round) * count + w;
    progress.show(meshes_[first + w].text(),
                  static_cast<double>(done) / static_cast<double>(rounds * meshes_.size()));
  };
  auto timings = run_in_turn(worlds, repeat + 1, show, [&](size_t w, Rank& rank, RankTurns& turns) {
    RankTiming timing;
    if (!turns.next()) return timing;
    Learner learner(rank, make_trainer(rank, source, options(meshes_[first + w])));
    learner.take_steps(tokens, targets, 1, 1, timing);
    const int64_t peak_bytes = rank.device().memory().peak_bytes;
    learner.add_product(parse_dtype(dtype), work);
    const double seconds = from_rank_0(rank, timing.work.best());
    const int64_t times = steps ? steps : times_of_a_turn(seconds, 100);
    const int64_t every = std::min(times, times_between_products(seconds));
    timing = {};
    timing.peak_bytes = peak_bytes;
    while (turns.next()) learner.take_steps(tokens, targets, times, every, timing);
    return timing;
  });
  progress.erase();
  return timings;
}

TrainRun TrainBench::judge_mesh(size_t i, const std::vector<MeshTiming>& timings,
                                const WeightSource& source) const {
  const Parallelism& mesh = meshes_[i];
  const MeshTiming& timing = timings[i];
  TrainRun run{
      judge(mesh.mesh().ranks(), timing[0], timings[0][0], static_cast<double>(batch * seq),
            flops(source.architecture()), MatmulProbe::flops(mesh.mesh().ranks(), machine.device)),
      mesh,
      0,
      0,
      0,
      0,
      memory(mesh, source).total()};
  double all = 0, communicating = 0;
  for (const RankTiming& rank : timing) {
    all += rank.use.step_time_s;
    communicating += rank.use.communication_time_s;
    run.tp_bytes += rank.use.tp_bytes;
    run.dp_bytes += rank.use.dp_bytes;
    run.peak_bytes = std::max(run.peak_bytes, rank.peak_bytes);
  }
  run.tp = mesh.tp;
  run.communication = communicating / all;
  const auto steps_timed = static_cast<int64_t>(timing[0].work.count());
  run.tp_bytes /= steps_timed;
  run.dp_bytes /= steps_timed;
  return run;
}

std::string TrainBench::text(const std::vector<TrainRun>& runs, const WeightSource& source) const {
  SideBySide table;
  const auto row = [&](const std::string& label, auto text) {
    std::vector<std::string> cells;
    cells.reserve(runs.size());
    for (const TrainRun& run : runs) cells.push_back(text(run));
    table.row(label, std::move(cells));
  };
  std::vector<const ModelRun*> each;
  each.reserve(runs.size());
  for (const TrainRun& run : runs) each.push_back(&run);
  row("tp", [](const TrainRun& r) { return fmt::format("{}", r.mesh.tp); });
  row("dp", [](const TrainRun& r) { return fmt::format("{}", r.mesh.dp); });
  row("SP", [](const TrainRun& r) { return std::string(r.mesh.sp ? "yes" : "-"); });
  add_rows(table, each, "GFLOP/s", "products' GFLOP/s");
  row("communication",
      [](const TrainRun& r) { return fmt::format("{:.1f} %", 100 * r.communication); });
  row("bytes a step", [&](const TrainRun& r) { return bytes_text(r.tp_bytes + r.dp_bytes); });
  row("memory", [&](const TrainRun& r) { return bytes_text(r.peak_bytes); });
  row("predicted", [&](const TrainRun& r) { return bytes_text(r.predicted_bytes); });
  return title(fmt::format(
             "train: {}, {} x {} tokens a step, {}, ZeRO {}{}; meshes {}", model.describe(source),
             batch, seq, dtype, static_cast<int>(parallelism.zero),
             parallelism.recompute ? ", recomputing" : "",
             together_ ? "in turn" : "one after the other: they do not fit together")) +
         table.text(output.colour()) + about_samples(each);
}

nlohmann::ordered_json TrainBench::document(const std::vector<TrainRun>& runs,
                                            const WeightSource& source) const {
  nlohmann::ordered_json doc = header("train", source);
  doc["seq"] = seq;
  doc["zero"] = parallelism.zero;
  doc["recompute"] = parallelism.recompute;
  doc["flops"] = flops(source.architecture());
  doc["together"] = together_;
  doc["runs"] = nlohmann::ordered_json::array();
  for (const TrainRun& r : runs) {
    nlohmann::ordered_json row = json(r, "flops");
    row["dp"] = r.mesh.dp;
    row["sp"] = r.mesh.sp;
    row["communication"] = r.communication;
    row["tp_bytes_per_step"] = r.tp_bytes;
    row["dp_bytes_per_step"] = r.dp_bytes;
    row["peak_bytes"] = r.peak_bytes;
    row["predicted_bytes"] = r.predicted_bytes;
    doc["runs"].push_back(row);
  }
  return doc;
}

void TrainBench::run() {
  machine.spread(tps, dps);
  const std::unique_ptr<WeightSource> source = open();
  check_meshes(*source);
  choose_together(*source);
  std::vector<MeshTiming> timings;
  const size_t group = together_ ? meshes_.size() : 1;
  for (size_t first = 0; first < meshes_.size(); first += group)
    for (MeshTiming& timing : measure(first, group, *source)) timings.push_back(std::move(timing));
  std::vector<TrainRun> runs;
  for (size_t i = 0; i < meshes_.size(); ++i) runs.push_back(judge_mesh(i, timings, *source));
  print(text(runs, *source), document(runs, *source));
}

}  // namespace

void add_bench_train(CLI::App& bench) {
  auto command = std::make_shared<TrainBench>();
  command->tps = {1, 2, 4};
  command->batch = 4;
  CLI::App* sub = bench.add_subcommand("train", "Training steps on meshes side by side");
  sub->footer(R"(Examples:
  tplab bench train --preset nano-cpu                    tp 1, 2, 4 and dp 1, 2, with and without SP
  tplab bench train --preset gpt2 --seq 64 --tp 1,2 --dp 1 --no-sp
  tplab bench train --preset nano --tp 2 --dp 2,4 --batch 8 --zero 2 --json
A step is timed from a barrier until every rank has updated its weights. All meshes are loaded at
once and run in turn, so "time / first" is of one run; where they do not fit in memory together they
run one after the other. FLOPs are the model's own, three times those of a forward pass, without
what --recompute does again. The limit is a product of matrices of 1024 x 1024 (on a GPU 8192 x
8192) shared out over the same ranks, timed between the steps. Communication is the ranks' time in
collectives, waiting included; bytes are all ranks' together; memory is that of the rank that has
most. In bf16 the CPU computes on f32 copies of an operation's arrays, which are in it and not in
what is predicted.)");
  command->add_options(*sub);
  add_counts(*sub, "--dp", command->dps, "numbers of replicas, as 1,2");
  sub->add_option("--seq", command->seq, "tokens a sequence (the model's context)")
      ->check(whole_number(1));
  sub->add_option("--steps", command->steps, "steps a turn (as many as take a fifth of a second)")
      ->check(whole_number(1));
  sub->add_flag("--no-sp", command->no_sp, "leave out sequence parallelism");
  add_parallelism(*sub, command->parallelism, {}, [](const std::string& name) {
    return name == "sp-regather" || name == "zero" || name == "recompute";
  });
  sub->callback([command] { command->run(); });
}

}  // namespace tplab::cli
