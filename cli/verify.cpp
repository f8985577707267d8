// tplab verify: runs the model at each tp and holds it against the reference.
#include "verify/verify.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/report_text.h"
#include "sim/error.h"
#include "sim/random.h"
#include "verify/report_json.h"

namespace tplab::cli {

namespace {

struct VerifyCommand {
  ModelChoice model;
  MachineChoice machine;
  Output output;
  std::vector<int> tps = {1, 2, 4};
  std::string against, algorithm = "direct", dtype;
  int64_t batch = 0, seq = 0;
  uint64_t seed = 1337;
  bool sites = false;

  void run(int& exit_code);
  VerifyOptions options(const GptConfig& config) const;
};

// B sequences of T tokens, and the token after each as its target.
void draw_tokens(VerifyOptions& options, const GptConfig& config, int64_t B, int64_t T,
                 uint64_t seed) {
  const RandomStream stream(seed, "verify tokens");
  options.tokens = {B, T, {}};
  const auto draw = [&](int64_t i) {
    const double u = stream.uniform(static_cast<uint64_t>(i));
    return static_cast<int32_t>(u * static_cast<double>(config.vocab_size));
  };
  for (int64_t i = 0; i < B * T; ++i) options.tokens.ids.push_back(draw(i));
  for (int64_t i = 0; i < B * T; ++i) options.targets.push_back(draw(i + 1));
}

VerifyOptions VerifyCommand::options(const GptConfig& config) const {
  VerifyOptions options;
  options.tps = tps;
  options.algorithm = parse_algorithm(algorithm);
  options.device = machine.device;
  options.comm = machine.comm;
  if (!dtype.empty()) options.dtypes = {parse_dtype(dtype)};
  if (!against.empty()) {
    if (batch || seq)
      fail("--batch and --seq do not go with --against, whose x says them", "drop them");
    options.golden = read_golden(against, config);
    options.tokens = options.golden->tokens;
    options.targets = options.golden->targets;
    return options;
  }
  const int64_t B = batch ? batch : 2, T = seq ? seq : std::min<int64_t>(config.block_size, 64);
  if (B < 1 || T < 1 || T > config.block_size)
    fail(fmt::format("--batch {} --seq {} is not possible", B, T),
         fmt::format("use a batch of at least 1 and a sequence of 1 to {}", config.block_size));
  check_memory(config, B, T, tps);
  draw_tokens(options, config, B, T, seed);
  return options;
}

void VerifyCommand::run(int& exit_code) {
  output.open();
  // Zero biases would hide a misplaced one, so a preset's are drawn.
  const std::unique_ptr<WeightSource> source = model.open(seed, true);
  VerifyOptions chosen = options(source->config());
  Report report;
  {
    Progress progress;
    chosen.progress = [&](const std::string& what, double done) { progress.show(what, done); };
    report = verify(*source, chosen);
    report.source = model.describe(*source);
  }
  if (output.json()) {
    output.document(to_json(report));
  } else {
    output.text(report_text(report, sites, output.colour()));
  }
  output.close();
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
  tplab verify --checkpoint ckpt.pt --against golden.safetensors --dtype f64)");
  command->model.add_options(*sub);
  add_tps(*sub, command->tps);
  sub->add_option("--dtype", command->dtype, "f64 or f32; both if not given");
  sub->add_option("--against", command->against,
                  "tensors that another program computed: x, logits, activation.<site>, ...")
      ->type_name("FILE.safetensors");
  sub->add_option("--batch", command->batch, "sequences (2)")->check(whole_number(1));
  sub->add_option("--seq", command->seq, "tokens a sequence (64, or the block if shorter)")
      ->check(whole_number(1));
  sub->add_flag("--sites", command->sites, "list every compared site");
  add_algorithm(*sub, command->algorithm);
  add_seed(*sub, command->seed);
  command->machine.add_options(*sub);
  command->output.add_options(*sub);
  sub->callback([command, &exit_code] { command->run(exit_code); });
}

}  // namespace tplab::cli
