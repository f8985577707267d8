#include "cli/train_settings.h"

#include <fmt/format.h>

#include <filesystem>
#include <type_traits>

#include "cli/command.h"
#include "cli/nearest.h"
#include "cli/parallelism_options.h"
#include "model/files/moved_file.h"
#include "sim/error.h"
#include "sim/machine/measure.h"

namespace tplab::cli {

namespace {

constexpr const char* kWay =
    "way";  // beside the settings: from the run's folder to its --text or --data

}  // namespace

void TrainSettings::add_options(CLI::App& app) {
  Settings& s = remembered_;
  const Rule from_0 = whole_from(0), from_1 = whole_from(1);
  s.add_words(app, "preset", preset, "sizes of a new model", preset_words());
  s.add(app, "checkpoint", checkpoint, "begin with these weights: ckpt.pt, or a folder")
      ->type_name("PATH");
  s.add(app, "layers", layers, "instead of the preset's (0: the preset's)", from_0);
  s.add(app, "heads", heads, "heads a layer", from_0);
  s.add(app, "width", width, "features, n_embd", from_0);
  s.add(app, "block", block, "longest context", from_0);
  s.add_flag(app, "bias", bias, "biases in linears and norms");
  s.add(app, "text", text, "a text to learn; without it tplab's own documentation")
      ->type_name("FILE");
  s.add(app, "data", data, "a folder with nanoGPT's train.bin and val.bin")->type_name("FOLDER");
  s.add_words(app, "data-dtype", data_dtype, "of their ids",
              {"auto", "uint8", "uint16", "uint32", "int64"});
  s.add(app, "tokenizer", tokenizer, "for --text: GPT-2's files; without it, characters")
      ->type_name("PATH");
  s.add_flag(app, "special", special,
             "<|endoftext|> and the like in a text are tokens, not characters");
  s.add(app, "tp", parallelism.tp, "ranks that share a model", from_1);
  s.add_flag(app, "uneven", parallelism.uneven,
             "for a tp that does not divide the model: some ranks have more");
  for_each_option(parallelism, [&](const std::string& name, auto& value, const char* help) {
    if constexpr (std::is_same_v<decltype(value), bool&>)
      s.add_flag(app, name, value, help);
    else if constexpr (std::is_same_v<decltype(value), Zero&>)
      s.add(app, name, value, help, from_0)->type_name("0|1|2")->default_str("0");
    else
      s.add(app, name, value, help, from_1);
  });
  s.add(app, "steps", steps, "optimizer steps in all; 1000 if there is neither --text nor --data",
        from_1);
  s.add(app, "batch", batch, "sequences a step, of all replicas together", from_1);
  s.add(app, "seq", seq, "tokens a sequence (0: the block)", from_0);
  s.add(app, "lr", schedule.learning_rate, "learning rate after the warm-up", finite_from_zero());
  s.add(app, "min-lr", schedule.min_lr, "and at the end", finite_from_zero());
  s.add(app, "warmup", schedule.warmup, "steps of warm-up", from_0);
  s.add(app, "decay-steps", schedule.decay, "until --min-lr is reached (0: --steps)", from_0);
  s.add(app, "beta1", optimizer.beta1, "AdamW's", part_of_one());
  s.add(app, "beta2", optimizer.beta2, "AdamW's", part_of_one());
  s.add(app, "weight-decay", optimizer.weight_decay, "of matrices", finite_from_zero());
  s.add(app, "grad-clip", optimizer.grad_clip, "largest norm of the gradients (0: any)",
        finite_from_zero());
  s.add(app, "dropout", dropout, "the rate", part_of_one());
  s.add_words(app, "dtype", dtype, "of weights and activations (bf16 trains f32 masters)",
              dtype_words());
  s.add_words(app, "algorithm", algorithm, "of the collectives", algorithm_words());
  s.add(app, "seed", seed, "of everything random", seed_rule());
  s.add(app, "eval-interval", eval_interval,
        "steps between evaluations, which also save (0: at the end)", from_0);
  s.add(app, "eval-batches", eval_batches, "batches of an evaluation", from_1);
  machine.add_options(app);
}

nlohmann::json TrainSettings::to_json(const std::string& folder) const {
  nlohmann::json json = to_json();
  const std::string name = text_or_data();
  json[kWay] = to_json_string(name.empty() ? "" : way_from(folder, name));
  return json;
}

std::string TrainSettings::text_or_data() const {
  return !found_.empty() ? found_ : !data.empty() ? data : text;
}

void TrainSettings::take_up(const TplabCheckpoint& run) {
  const std::string& path = resumed_ = run.path();
  remembered_.restore(path, run.train());
  check_same_model(run);
  if (!remembered_.given("tokenizer")) tokenizer.clear();  // the checkpoint has its own
  // Before there was the choice, a run learned the characters.
  if (!remembered_.given("special") && !run.train().contains("special")) special = false;
  // What the command line names to train on replaces what the run was trained on.
  const bool is_new = remembered_.any_given({"text", "data"});
  if (is_new && !remembered_.given("data")) data.clear();
  if (is_new && !remembered_.given("text")) text.clear();
  const nlohmann::json way = run.train().value(kWay, nlohmann::json(""));
  if (!way.is_string())
    fail_file(path, "the run's way to its text is not a name", "give --text or --data");
  if (is_new || text_or_data().empty()) return;
  const std::string folder = std::filesystem::path(path).parent_path().string();
  found_ = find_again(folder, from_json_string(way.get<std::string>()), text_or_data());
}

// The model is the checkpoint's: options that describe it may only repeat what it is.
void TrainSettings::check_same_model(const TplabCheckpoint& run) const {
  const GptConfig c = gpt_config(run.architecture());
  const auto refuse = [&](const std::string& name, const auto& is, const auto& asked) {
    fail(fmt::format("the run in {} is of another model: its {} is '{}', not '{}'", run.path(),
                     name, is, asked),
         fmt::format("drop --{}, or begin a new run without --resume", name));
  };
  const auto check_size = [&](const char* name, int64_t is, int64_t asked) {
    if (remembered_.given(name) && asked != is && asked != 0) refuse(name, is, asked);
  };
  check_size("layers", c.n_layer, layers);
  check_size("heads", c.n_head, heads);
  check_size("width", c.n_embd, width);
  check_size("block", c.block_size, block);
  if (remembered_.given("bias") && bias != c.bias) refuse("bias", c.bias, bias);
  for (const auto& [name, asked] : {std::pair{"preset", preset}, {"checkpoint", checkpoint}}) {
    const nlohmann::json is = run.train().value(name, nlohmann::json());
    if (remembered_.given(name) && is != to_json_string(asked))
      refuse(name, is.is_string() ? from_json_string(is.get<std::string>()) : json_text(is), asked);
  }
}

// Settings that the command line has no part in are the file's mistake.
void TrainSettings::blame_file(const std::function<void()>& checks) const {
  const bool is_files = !resumed_.empty() &&
                        !remembered_.any_given({"tp", "uneven", "dp", "sp", "sp-regather", "zero",
                                                "batch", "seq", "accumulate", "text", "data"});
  try {
    checks();
  } catch (const Error& error) {
    if (!is_files || error.kind() != ErrorKind::usage) throw;
    fail_file(resumed_, "the run's settings: " + error.problem(), error.fix());
  }
}

void TrainSettings::check() const {
  blame_file([&] {
    if (!text.empty() && !data.empty())
      fail("both --text and --data name something to train on", "drop one of them");
    check_options(trainer());
    check_world(world());
  });
  if (resumed_.empty() && !checkpoint.empty()) check_new_model();
}

void TrainSettings::check_new_model() const {
  for (const char* name : {"preset", "layers", "heads", "width", "block", "bias"})
    if (remembered_.given(name))
      fail(
          fmt::format("--{} describes a new model, and --checkpoint names one that is there", name),
          "drop one of them");
}

void TrainSettings::check(const Architecture& architecture) const {
  blame_file([&] {
    if (seq > architecture.context)
      fail(fmt::format("--seq {} is longer than the model's context of {}", seq,
                       architecture.context),
           fmt::format("use at most {}", architecture.context));
    check_shares(architecture, parallelism.tp, parallelism.uneven);
    parallelism.check_batch(batch, seq);
  });
  const Mesh mesh = parallelism.mesh();
  require_memory(fmt::format("training at tp {}, dp {}", mesh.tp, mesh.dp),
                 static_cast<double>(forecast(architecture).memory.total()) * mesh.ranks(),
                 "use a smaller model or batch, --accumulate, --recompute, or --zero with --dp");
}

GptConfig TrainSettings::new_model(int64_t vocab_size) const {
  GptConfig config = find_preset(preset).config;
  if (layers) config.n_layer = layers;
  if (heads) config.n_head = heads;
  if (width) {
    config.n_embd = width;
    config.n_inner = 4 * width;
  }
  if (block) config.block_size = block;
  config.bias = config.bias || bias;
  config.vocab_size = vocab_size;
  tplab::check(config, "the model to train");
  return config;
}

TrainerOptions TrainSettings::trainer() const {
  return {.dtype = parse_dtype(dtype),
          .optimizer = optimizer,
          .parallelism = parallelism,
          .dropout = dropout,
          .seed = seed};
}

LoopOptions TrainSettings::loop(int64_t first_step) const {
  LoopOptions options{.first_step = first_step,
                      .steps = steps,
                      .sequences = batch,
                      .length = seq,
                      .schedule = schedule,
                      .eval_interval = eval_interval,
                      .eval_batches = eval_batches,
                      .seed = seed};
  if (options.schedule.decay == 0) options.schedule.decay = steps;
  return options;
}

WorldOptions TrainSettings::world() const {
  return {.tp = parallelism.tp,
          .dp = parallelism.dp,
          .device = machine.device,
          .comm = machine.comm,
          .algorithm = parse_algorithm(algorithm),
          .timeout_s = machine.timeout_s};
}

MemoryForecast TrainSettings::forecast(const Architecture& architecture) const {
  return forecast_memory(architecture, trainer(), parallelism.micro_batch(batch), seq);
}

}  // namespace tplab::cli
