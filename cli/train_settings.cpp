#include "cli/train_settings.h"

#include <fmt/format.h>

#include <limits>

#include "cli/command.h"
#include "sim/error.h"
#include "sim/measure.h"

namespace tplab::cli {

namespace {

void check_number(const char* option, double value, double least, double below,
                  const char* allowed) {
  if (value >= least && value < below) return;  // NaN is refused
  fail(fmt::format("--{} {} is not possible", option, value), fmt::format("use {}", allowed));
}

void check_whole(const char* option, int64_t value, int64_t least) {
  if (value >= least && value <= std::numeric_limits<int32_t>::max()) return;
  fail(fmt::format("--{} {} is not possible", option, value),
       fmt::format("use a whole number from {} to {}", least, std::numeric_limits<int32_t>::max()));
}

}  // namespace

void TrainSettings::add_options(CLI::App& app) {
  Settings& s = remembered_;
  s.add(app, "preset", preset, "sizes of a new model: nano-cpu, nano, gpt2, ...");
  s.add(app, "checkpoint", checkpoint, "begin with these weights: ckpt.pt, or a folder")
      ->check(not_empty());
  s.add(app, "layers", layers, "instead of the preset's (0: the preset's)")->check(whole_number(0));
  s.add(app, "heads", heads, "heads a layer")->check(whole_number(0));
  s.add(app, "width", width, "features, n_embd")->check(whole_number(0));
  s.add(app, "block", block, "longest context")->check(whole_number(0));
  s.add_flag(app, "bias", bias, "biases in linears and norms");
  s.add(app, "text", text, "a text to learn; without it tplab's own documentation")
      ->check(not_empty());
  s.add(app, "data", data, "a folder with nanoGPT's train.bin and val.bin")->check(not_empty());
  s.add(app, "data-dtype", data_dtype, "of their ids: auto, uint8, uint16, uint32 or int64");
  s.add(app, "tokenizer", tokenizer, "for --text: GPT-2's files; without it, characters")
      ->check(not_empty());
  s.add_flag(app, "special", special,
             "<|endoftext|> and the like in a text are tokens, not characters");
  s.add(app, "tp", tp, "ranks that share a model")->check(whole_number(1));
  s.add_flag(app, "uneven", uneven,
             "for a tp that does not divide the model: some ranks have more");
  s.add(app, "dp", dp, "replicas of the model, each with its part of the batch")
      ->check(whole_number(1));
  s.add_flag(app, "sp", sp, "sequence parallelism: the stream is split over the tp ranks");
  s.add_flag(app, "sp-regather", sp_regather, "gather inputs again in the backward pass");
  s.add(app, "zero", zero, "what replicas share out: 1 optimizer states, 2 gradients too");
  s.add_flag(app, "recompute", recompute, "keep only each block's input, and compute it twice");
  s.add(app, "steps", steps, "optimizer steps in all")->check(whole_number(1));
  s.add(app, "batch", batch, "sequences a step, of all replicas together")->check(whole_number(1));
  s.add(app, "seq", seq, "tokens a sequence (0: the block)")->check(whole_number(0));
  s.add(app, "accumulate", accumulate, "micro-batches a step")->check(whole_number(1));
  s.add(app, "lr", schedule.learning_rate, "learning rate after the warm-up");
  s.add(app, "min-lr", schedule.min_lr, "and at the end");
  s.add(app, "warmup", schedule.warmup, "steps of warm-up")->check(whole_number(0));
  s.add(app, "decay-steps", schedule.decay, "until --min-lr is reached (0: --steps)")
      ->check(whole_number(0));
  s.add(app, "beta1", optimizer.beta1, "AdamW's");
  s.add(app, "beta2", optimizer.beta2, "AdamW's");
  s.add(app, "weight-decay", optimizer.weight_decay, "of matrices");
  s.add(app, "grad-clip", optimizer.grad_clip, "largest norm of the gradients (0: any)");
  s.add(app, "dropout", dropout, "the rate");
  s.add(app, "dtype", dtype, "f64 or f32");
  s.add(app, "algorithm", algorithm, "of the collectives: direct, ring, tree or gather");
  s.add(app, "seed", seed, "of everything random")->check(seed_number());
  s.add(app, "eval-interval", eval_interval,
        "steps between evaluations, which also save (0: at the end)")
      ->check(whole_number(0));
  s.add(app, "eval-batches", eval_batches, "batches of an evaluation")->check(whole_number(1));
}

void TrainSettings::take_up(const std::string& path, const TplabCheckpoint& run) {
  try {
    check_same_model(path, run);
    remembered_.restore(run.train());
  } catch (const nlohmann::json::exception& e) {
    fail_file(path, fmt::format("does not say how its run was set: {}", e.what()),
              "start from its weights with --checkpoint");
  }
  if (!remembered_.given("tokenizer")) tokenizer.clear();  // the checkpoint has its own
  // Before there was the choice, a run learned the characters.
  if (!remembered_.given("special") && !run.train().contains("special")) special = false;
  // What the command line names to train on replaces what the run was trained on.
  if (remembered_.given("text") && !remembered_.given("data")) data.clear();
  if (remembered_.given("data") && !remembered_.given("text")) text.clear();
}

// The model is the checkpoint's: options that describe it may only repeat what it is.
void TrainSettings::check_same_model(const std::string& path, const TplabCheckpoint& run) const {
  const GptConfig& c = run.config();
  const auto refuse = [&](const std::string& name, const auto& is, const auto& asked) {
    fail(fmt::format("the run in {} is of another model: its {} is '{}', not '{}'", path, name, is,
                     asked),
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
    const std::string is = run.train().value(name, "");
    if (remembered_.given(name) && asked != is) refuse(name, is, asked);
  }
}

void TrainSettings::check() const {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  constexpr const char* kFinite = "a finite number from 0 up";
  constexpr const char* kPart = "a number from 0 to less than 1";
  check_number("lr", schedule.learning_rate, 0, kInfinite, kFinite);
  check_number("min-lr", schedule.min_lr, 0, kInfinite, kFinite);
  check_number("weight-decay", optimizer.weight_decay, 0, kInfinite, kFinite);
  check_number("grad-clip", optimizer.grad_clip, 0, kInfinite, kFinite);
  check_number("beta1", optimizer.beta1, 0, 1, kPart);
  check_number("beta2", optimizer.beta2, 0, 1, kPart);
  check_number("dropout", dropout, 0, 1, kPart);
  check_whole("steps", steps, 1);
  check_whole("batch", batch, 1);
  check_whole("accumulate", accumulate, 1);
  check_whole("eval-batches", eval_batches, 1);
  check_whole("seq", seq, 0);
  check_whole("warmup", schedule.warmup, 0);
  check_whole("decay-steps", schedule.decay, 0);
  check_whole("eval-interval", eval_interval, 0);
  static_cast<void>(parse_id_width(data_dtype));
  if (!text.empty() && !data.empty())
    fail("both --text and --data name something to train on", "drop one of them");
  static_cast<void>(trainer());
  static_cast<void>(World(world()));
  if (checkpoint.empty()) return;
  for (const char* name : {"preset", "layers", "heads", "width", "block", "bias"})
    if (remembered_.given(name))
      fail(
          fmt::format("--{} describes a new model, and --checkpoint names one that is there", name),
          "drop one of them");
}

void TrainSettings::check(const GptConfig& config) const {
  if (seq > config.block_size)
    fail(fmt::format("--seq {} is longer than the model's context of {}", seq, config.block_size),
         fmt::format("use at most {}", config.block_size));
  static_cast<void>(ShardPlan(config, tp));
  check_batch(batch, seq, tp, dp, trainer());
  require_memory(fmt::format("training at tp {}, dp {}", tp, dp),
                 static_cast<double>(forecast(config).memory.total()) * tp * dp,
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
          .zero = parse_zero(zero),
          .sp = sp,
          .sp_regather = sp_regather,
          .recompute = recompute,
          .accumulation = accumulate,
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
  return {.tp = tp, .dp = dp, .algorithm = parse_algorithm(algorithm)};
}

MemoryForecast TrainSettings::forecast(const GptConfig& config) const {
  return forecast_memory(ShardPlan(config, tp), dp, batch / (dp * accumulate), seq, trainer());
}

}  // namespace tplab::cli
