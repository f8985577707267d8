// tplab train: trains a model on a mesh of virtual ranks, saves it, and shows what it has learned.
#include <fmt/format.h>

#include <atomic>
#include <filesystem>
#include <limits>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/settings.h"
#include "cli/train_output.h"
#include "model/checkpoints/checkpoint.h"
#include "model/generate.h"
#include "model/init.h"
#include "model/tokenizers/load.h"
#include "model/training/checkpointing.h"
#include "model/training/documentation.h"
#include "model/training/loop.h"
#include "sim/error.h"
#include "sim/measure.h"
#include "sim/world.h"

namespace tplab::cli {

namespace {

struct TrainCommand {
  Output output;
  Settings settings;
  std::string resume, out = "out";
  bool no_sample = false;
  int64_t warmup_steps = 0;  // left out of the averages

  // Remembered.
  std::string preset = "nano-cpu", checkpoint, text, data, tokenizer, dtype = "f32";
  std::string algorithm = "direct";
  int64_t layers = 0, heads = 0, width = 0, block = 0;
  bool bias = false, sp = false, sp_regather = false, recompute = false;
  int tp = 1, dp = 1, zero = 0;
  int64_t batch = 12, seq = 0, accumulate = 1;
  Schedule schedule{.decay = 0};
  OptimizerOptions optimizer{.beta2 = 0.99};
  double dropout = 0;
  uint64_t seed = 1337;
  int64_t steps = 2000, eval_interval = 250, eval_batches = 20;

  void add_options(CLI::App& app);
  void run();

 private:
  std::shared_ptr<const TplabCheckpoint> resumed_;  // null from scratch
  std::unique_ptr<WeightSource> source_;
  Dataset dataset_;
  int64_t first_step_ = 0;

  void take_up();
  void open_data(const GptConfig* known);
  void open_model();
  GptConfig fresh_config() const;
  TrainerOptions trainer_options() const;
  LoopOptions loop_options() const;
  TrainingMemory predicted_memory() const;
  void train_on_ranks(TrainOutcome& outcome);
  const GptConfig& config() const { return resumed_ ? resumed_->config() : source_->config(); }
  CheckpointFacts facts(int64_t done, double best) const;
  std::string sample() const;
  std::string checkpoint_path() const { return out + "/ckpt.safetensors"; }
};

// --resume: the run's settings come from its checkpoint, and the command line may change some.
void TrainCommand::take_up() {
  if (resume.empty()) return;
  auto found = open_checkpoint(resume);
  auto* run = dynamic_cast<TplabCheckpoint*>(found.get());
  if (!run)
    fail_file(
        resume, "is no training run of tplab's",
        "give the folder that `tplab train` wrote, or start from its weights with --checkpoint");
  static_cast<void>(found.release());
  resumed_.reset(run);
  try {
    settings.restore(run->train());
    first_step_ = run->step();
  } catch (const nlohmann::json::exception& e) {
    fail_file(resume, fmt::format("does not say how its run was set: {}", e.what()),
              "start from its weights with --checkpoint");
  }
  if (out == "out" && std::filesystem::is_directory(resume)) out = resume;
}

void TrainCommand::open_data(const GptConfig* known) {
  DatasetOptions options{.block_size = seq};
  if (known) options.vocab_size = known->vocab_size;
  if (!tokenizer.empty()) {
    options.tokenizer = load_tokenizer(tokenizer);
  } else if (known && data.empty()) {
    options.tokenizer = load_tokenizer(find_tokenizer(resume.empty() ? checkpoint : resume));
  }
  if (!data.empty()) {
    dataset_ = open_dataset(data, options);
  } else if (!text.empty()) {
    dataset_ = open_dataset(text, options);
  } else {
    dataset_ = dataset_of_text(documentation_text(), "tplab's documentation", options);
  }
  if (known && dataset_.vocab_size > known->vocab_size)
    fail(fmt::format("the data has {} tokens and the model knows {}", dataset_.vocab_size,
                     known->vocab_size),
         "use the tokenizer that belongs to the model: --tokenizer PATH");
}

GptConfig TrainCommand::fresh_config() const {
  GptConfig config = find_preset(preset).config;
  if (layers) config.n_layer = layers;
  if (heads) config.n_head = heads;
  if (width) {
    config.n_embd = width;
    config.n_inner = 4 * width;
  }
  if (block) config.block_size = block;
  config.bias = config.bias || bias;
  config.vocab_size = dataset_.vocab_size;
  return config;
}

void TrainCommand::open_model() {
  if (!text.empty() && !data.empty())
    fail("both --text and --data name something to train on", "drop one of them");
  if (resumed_ || !checkpoint.empty()) {
    if (!resumed_) source_ = open_checkpoint(checkpoint);
    const GptConfig& config = resumed_ ? resumed_->config() : source_->config();
    if (seq == 0) seq = config.block_size;
    open_data(&config);
    return;
  }
  if (seq == 0) seq = block ? block : find_preset(preset).config.block_size;
  open_data(nullptr);
  const GptConfig config = fresh_config();
  check(config, "the model to train");
  source_ = initial_weights(config, {.seed = seed});
}

TrainerOptions TrainCommand::trainer_options() const {
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

LoopOptions TrainCommand::loop_options() const {
  LoopOptions options{.first_step = first_step_,
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

CheckpointFacts TrainCommand::facts(int64_t done, double best) const {
  return {.config = config(),
          .step = done,
          .best_val_loss = best,
          .train = settings.to_json(),
          .tokenizer = dataset_.tokenizer.get()};
}

TrainingMemory TrainCommand::predicted_memory() const {
  return training_memory(ShardPlan(config(), tp), dp, batch / (dp * accumulate), seq,
                         trainer_options());
}

void TrainCommand::train_on_ranks(TrainOutcome& outcome) {
  const WeightSource& weights = resumed_ ? static_cast<const WeightSource&>(*resumed_) : *source_;
  const ShardPlan plan(weights.config(), tp);
  const TrainerOptions options = trainer_options();
  const LoopOptions loop = loop_options();
  check_batch(batch, seq, tp, dp, options);
  require_memory(fmt::format("training at tp {}, dp {}", tp, dp),
                 static_cast<double>(predicted_memory().total()) * tp * dp,
                 "use a smaller model or batch, --accumulate, --recompute, or --zero with --dp");
  World world({.tp = tp, .dp = dp, .algorithm = parse_algorithm(algorithm)});

  SharedSave save(checkpoint_path());
  const Interrupt interrupt;
  // The first rank to see the signal picks a step that no rank has begun: collectives keep ranks
  // less than one step apart.
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> stop_at = kNever;
  world.run([&](Rank& rank) {
    const auto trainer = make_trainer(rank, weights, plan, options);
    if (resumed_) load_moments(rank, *resumed_, *trainer);
    double best = resumed_ ? resumed_->best_val_loss() : std::numeric_limits<double>::infinity();
    const LoopHooks hooks{
        .on_step = [&](const StepRecord& r) { outcome.add(rank, r); },
        .on_evaluation =
            [&](int64_t done, const Evaluation& e) {
              best = std::min(best, e.val_loss);
              if (rank.global_index() == 0) outcome.add_evaluation(done, e);
            },
        .save = [&](int64_t done) { save.write(rank, *trainer, facts(done, best)); },
        .should_stop =
            [&](int64_t done) {
              int64_t never = kNever;
              if (interrupt.requested()) stop_at.compare_exchange_strong(never, done + 2);
              return done >= stop_at;
            }};
    const int64_t done = train_loop(rank, *trainer, dataset_, loop, hooks);
    if (rank.global_index() == 0) outcome.finish(done);
  });
}

// What the trained model writes, from the checkpoint it was saved to.
std::string TrainCommand::sample() const {
  const auto trained = open_checkpoint(checkpoint_path());
  const ShardPlan plan(trained->config(), tp);
  const std::vector<int32_t> prompt = dataset_.tokenizer->encode("\n");
  std::string written;
  World({.tp = tp}).run([&](Rank& rank) {
    const Gpt gpt(rank, *trained, plan, parse_dtype(dtype));
    const auto ids = generate(gpt, prompt, 200, {.temperature = 0.8, .top_k = 200, .seed = seed});
    if (rank.index() == 0) written = dataset_.tokenizer->decode(ids);
  });
  return written;
}

void TrainCommand::run() {
  take_up();
  open_model();
  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (error)
    fail(fmt::format("{}: cannot be made: {}", out, error.message()),
         "choose another folder with --out");
  if (first_step_ >= steps)
    fail(fmt::format("the run has taken {} of {} steps already", first_step_, steps),
         "give more with --steps N");
  fmt::print(stderr, "training on {}\n", dataset_.description);
  TrainingResults empty;
  empty.model = config();
  empty.options = settings.to_json();
  empty.tp = tp;
  empty.dp = dp;
  empty.warmup_steps = warmup_steps;
  TrainOutcome outcome(std::move(empty), first_step_, steps);
  train_on_ranks(outcome);
  const std::string results = out + "/" + results_file_name(tp, dp);
  write_results(results, outcome.document());
  if (output.json()) {
    output.document(outcome.document());
  } else {
    output.text(outcome.text(predicted_memory()));
    output.text(fmt::format("saved {} and {}\n", checkpoint_path(), results));
    if (!outcome.stopped() && !no_sample && dataset_.tokenizer)
      output.text(fmt::format("\na sample:\n{}\n", sample()));
  }
  if (outcome.stopped())
    fmt::print(stderr,
               "tplab: stopped after {} of {} steps, all saved; go on with\n  tplab train --resume "
               "{}\n",
               outcome.done(), steps, out);
  output.close();
}

void TrainCommand::add_options(CLI::App& app) {
  app.add_option("--resume", resume, "go on with the run in this folder")->type_name("FOLDER");
  app.add_option("-o,--out", out, "where checkpoints and results go")
      ->capture_default_str()
      ->type_name("FOLDER");
  Settings& s = settings;
  s.add(app, "preset", preset, "sizes of a new model: nano-cpu, nano, gpt2, ...");
  s.add(app, "checkpoint", checkpoint, "begin with these weights: ckpt.pt, or a folder");
  s.add(app, "layers", layers, "instead of the preset's (0: the preset's)")->check(whole_number(0));
  s.add(app, "heads", heads, "heads a layer")->check(whole_number(0));
  s.add(app, "width", width, "features, n_embd")->check(whole_number(0));
  s.add(app, "block", block, "longest context")->check(whole_number(0));
  s.add_flag(app, "bias", bias, "biases in linears and norms");
  s.add(app, "text", text, "a text to learn; without it tplab's own documentation");
  s.add(app, "data", data, "a folder with nanoGPT's train.bin and val.bin");
  s.add(app, "tokenizer", tokenizer, "for --text: GPT-2's files; without it, characters");
  s.add(app, "tp", tp, "ranks that share a model")->check(whole_number(1));
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
  s.add(app, "seed", seed, "of everything random");
  s.add(app, "eval-interval", eval_interval, "steps between evaluations, which also save")
      ->check(whole_number(0));
  s.add(app, "eval-batches", eval_batches, "batches of an evaluation")->check(whole_number(1));
  app.add_option("--warmup-steps", warmup_steps, "first steps left out of the averages")
      ->check(whole_number(0));
  app.add_flag("--no-sample", no_sample, "do not write a sample at the end");
  output.add_format_options(app);
}

}  // namespace

void add_train(CLI::App& app, int&) {
  auto command = std::make_shared<TrainCommand>();
  CLI::App* sub = app.add_subcommand("train", "Train a model on a mesh of virtual ranks");
  sub->footer(R"(Examples:
  tplab train                                      a small model on tplab's documentation
  tplab train --text input.txt --tp 2 --out run    nanoGPT's recipe for a laptop, on two ranks
  tplab train --resume run --tp 4 --sp             go on, on another mesh
  tplab train --checkpoint ckpt.pt --text more.txt --lr 1e-4
Ctrl-C saves and stops.)");
  command->add_options(*sub);
  sub->callback([command] { command->run(); });
}

}  // namespace tplab::cli
