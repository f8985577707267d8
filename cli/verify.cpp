// tplab verify: runs the model at each tp and holds it against the reference.
#include "verify/verify.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/nearest.h"
#include "cli/report_text.h"
#include "cli/training_report.h"
#include "sim/error.h"
#include "sim/machine/processes.h"
#include "sim/random.h"
#include "verify/remembered_weights.h"
#include "verify/report_json.h"

namespace tplab::cli {

namespace {

struct VerifyCommand {
  ModelChoice model;
  MachineChoice machine;
  Output output;
  std::vector<int> tps = {1, 2, 4};
  const CLI::Option* tps_given = nullptr;
  std::string against, trace, trace_against, algorithm = "direct", dtype;
  int64_t batch = 0, seq = 0;
  uint64_t seed = 1337;
  bool sites = false, backward = false;
  std::vector<int> dps = {1, 2};  // with --backward
  int64_t steps = 5;

  void run(int& exit_code);
  void leave_out_what_does_not_divide(const WeightSource& source);
  VerifyOptions options(const Architecture& architecture) const;
  std::vector<TrainingBatch> batches(const VerifyOptions& options,
                                     const Architecture& architecture) const;
};

// B sequences of T tokens, and the token after each as its target.
TrainingBatch drawn_batch(const Architecture& architecture, int64_t B, int64_t T, uint64_t seed) {
  const RandomStream stream(seed, "verify tokens");
  TrainingBatch batch{{B, T, {}}, {}};
  const auto draw = [&](int64_t i) {
    const double u = stream.uniform(static_cast<uint64_t>(i));
    return static_cast<int32_t>(u * static_cast<double>(architecture.vocabulary));
  };
  for (int64_t i = 0; i < B * T; ++i) batch.tokens.ids.push_back(draw(i));
  for (int64_t i = 0; i < B * T; ++i) batch.targets.push_back(draw(i + 1));
  return batch;
}

std::vector<TrainingBatch> batches_of(const Golden& golden, bool backward) {
  std::vector<TrainingBatch> all = {{golden.tokens, golden.targets}};
  if (!backward) return all;
  if (golden.targets.empty())
    fail_file(golden.path, "has no targets y", "training needs them: save y beside x");
  for (size_t i = 0; i < static_cast<size_t>(golden.steps); ++i)
    all.push_back({golden.train_tokens[i], golden.train_targets[i]});
  return all;
}

// The first to look at, and with --backward one a step.
std::vector<TrainingBatch> VerifyCommand::batches(const VerifyOptions& options,
                                                  const Architecture& architecture) const {
  const int64_t B = batch      ? batch
                    : backward ? 4
                               : 2,
                T = seq ? seq : std::min<int64_t>(architecture.context, 64);
  if (B < 1 || T < 1 || T > architecture.context)
    fail(fmt::format("--batch {} --seq {} is not possible", B, T),
         fmt::format("use a batch of at least 1 and a sequence of 1 to {}", architecture.context));
  const int64_t count = backward ? steps + 1 : 1;
  check_memory(architecture, options, options.meshes, {B, T, count});
  std::vector<TrainingBatch> all;
  for (int64_t i = 0; i < count; ++i)
    all.push_back(drawn_batch(architecture, B, T, seed + static_cast<uint64_t>(i)));
  return all;
}

VerifyOptions VerifyCommand::options(const Architecture& architecture) const {
  VerifyOptions options;
  options.backward = backward;
  options.meshes =
      backward ? training_meshes(tps, dps, model.uneven) : forward_meshes(tps, model.uneven);
  options.algorithm = parse_algorithm(algorithm);
  options.device = machine.device;
  options.comm = machine.comm;
  options.trace = {.to = trace, .against = trace_against, .seed = seed};
  // Of processes every mesh has as many ranks: recomputing is looked at without replicas alone.
  if (processes())
    std::erase_if(options.meshes, [](const Parallelism& mesh) {
      const int ranks = mesh.mesh().ranks(), there = processes()->size();
      if (!mesh.recompute || ranks == there) return false;
      to_stderr("tplab: note: {} is left out: it has {} ranks, and there are {} processes\n",
                mesh.text(), ranks, there);
      return true;
    });
  options.timeout_s = machine.timeout_s;
  for (const Parallelism& mesh : options.meshes)
    check_world({.tp = mesh.tp,
                 .dp = mesh.dp,
                 .device = machine.device,
                 .comm = machine.comm,
                 .timeout_s = machine.timeout_s});
  if (!dtype.empty()) options.dtypes = {parse_dtype(dtype)};
  if (!against.empty()) options.golden = read_golden(against, architecture);
  options.batches =
      options.golden ? batches_of(*options.golden, backward) : batches(options, architecture);
  return options;
}

// Of tp that nobody asked for.
void VerifyCommand::leave_out_what_does_not_divide(const WeightSource& source) {
  if (tps_given->count() > 0 || tps.size() == 1) return;
  std::erase_if(tps, [&](int tp) {
    try {
      check_shares(source.architecture(), tp, model.uneven);
      return false;
    } catch (const Error& error) {
      to_stderr("tplab: note: tp {} is left out: {}\n", tp, error.problem());
      return true;
    }
  });
}

void VerifyCommand::run(int& exit_code) {
  const std::vector<std::string> inputs = {model.checkpoint, against, trace_against};
  output.open(inputs);
  output.check_result("--trace", trace, inputs);
  // Zero biases would hide a misplaced one, so a preset's are drawn.
  const std::unique_ptr<WeightSource> source = model.open(seed, true);
  if (backward)
    machine.spread(tps, dps);
  else
    machine.spread(tps);
  leave_out_what_does_not_divide(*source);
  VerifyOptions chosen = options(source->architecture());
  Progress progress;
  chosen.progress = [&](const std::string& what, double done) { progress.show(what, done); };
  // Training reads a preset's weights, which are drawn, some 40 times.
  std::optional<RememberedWeights> remembered;
  if (backward && model.checkpoint.empty()) remembered.emplace(*source);
  Report report = verify(remembered ? *remembered : *source, chosen);
  report.source = model.describe(*source);
  progress.erase();
  if (output.json()) {
    output.document(backward ? training_report_json(report) : to_json(report));
  } else {
    const auto text = backward ? training_report_text : forward_report_text;
    output.lines(text(report, sites, output.colour(), output.columns()));
  }
  output.close();
  if (!trace.empty()) say_written(trace, "compare another run with it by --trace-against");
  if (!report.good()) exit_code = static_cast<int>(ErrorKind::run);
}

}  // namespace

void add_verify(CLI::App& app, int& exit_code) {
  auto command = std::make_shared<VerifyCommand>();
  CLI::App* sub = app.add_subcommand(
      "verify", "Run a model at each tp and prove it equal to an independent dense reference");
  sub->footer(R"(Examples:
  tplab verify --preset nano-cpu --tp 1,2,4
  tplab verify --checkpoint ckpt.pt --tp 2 --sites
  tplab verify --checkpoint ckpt.pt --against golden.safetensors --dtype f64
  tplab verify --backward --preset nano-cpu --tp 2 --dp 1,2
  tplab verify --preset nano-cpu --tp 2 --trace threads.jsonl
  mpirun -n 2 tplab verify --preset nano-cpu --tp 2 --comm mpi --trace-against threads.jsonl)");
  command->model.add_options(*sub);
  add_tps(*sub, command->tps);
  command->tps_given = sub->get_option("--tp");
  command->model.add_uneven(*sub);
  one_of(sub->add_option("--dtype", command->dtype, "of the runs (f64 and f32)"), dtype_words());
  const CLI::Validator named(
      [](const std::string& path) -> std::string {
        return path.empty() ? "it is empty, and so names no file" : "";
      },
      "");
  CLI::Option* const against =
      sub->add_option("--against", command->against,
                      "tensors that another program computed: x, logits, activation.<site>, ...")
          ->type_name("FILE.safetensors")
          ->check(named);
  CLI::Option* const backward =
      sub->add_flag("--backward", command->backward,
                    "gradients and optimizer steps, with SP off and on, and ZeRO 0 to 2");
  add_counts(*sub, "--dp", command->dps, "with --backward: numbers of replicas, as 1,2");
  sub->get_option("--dp")->needs(backward);
  // What a golden file says itself.
  sub->add_option("--steps", command->steps, "with --backward: optimizer steps")
      ->check(whole_number(0))
      ->capture_default_str()
      ->needs(backward)
      ->excludes(against);
  sub->add_option("--batch", command->batch, "sequences (2; 4 with --backward)")
      ->check(whole_number(1))
      ->excludes(against);
  sub->add_option("--seq", command->seq, "tokens a sequence (64, or the block if shorter)")
      ->check(whole_number(1))
      ->excludes(against);
  sub->add_option("--trace", command->trace,
                  "write all that every rank did, in order, for --trace-against")
      ->type_name("FILE");
  sub->add_option("--trace-against", command->trace_against,
                  "a trace of the same run on another --device or --comm: the first thing that "
                  "differs is named")
      ->type_name("FILE");
  sub->add_flag("--sites", command->sites, "list every compared site");
  add_algorithm(*sub, command->algorithm);
  add_seed(*sub, command->seed);
  command->machine.add_options(*sub);
  command->output.add_options(*sub);
  sub->callback([command, &exit_code] { command->run(exit_code); });
}

}  // namespace tplab::cli
