// tplab train: trains a model on a mesh of virtual ranks, saves it, and shows what it has learned.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/own_folder.h"
#include "cli/train_output.h"
#include "cli/train_settings.h"
#include "model/checkpoints/checkpoint.h"
#include "model/generate.h"
#include "model/init.h"
#include "model/tokenizers/load.h"
#include "model/training/checkpointing.h"
#include "model/training/documentation.h"
#include "model/training/loop.h"
#include "sim/error.h"
#include "sim/world.h"

namespace tplab::cli {

namespace {

// As a shell takes it for one word.
std::string shell_word(const std::string& text) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("_./-+").find(c) != std::string_view::npos;
  };
  if (std::all_of(text.begin(), text.end(), plain)) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

struct TrainCommand {
  TrainSettings settings;
  Output output;
  std::string resume, out;
  bool no_sample = false;
  int64_t warmup_steps = 0;  // left out of the averages

  void add_options(CLI::App& app);
  void run(int& exit_code);

 private:
  std::shared_ptr<const TplabCheckpoint> resumed_;  // null from scratch
  std::shared_ptr<const WeightSource> source_;      // what training begins with
  Dataset dataset_;
  int64_t first_step_ = 0;
  OwnFolder folder_;

  void take_up();
  void open_model();
  void open_data(const GptConfig* known);
  std::shared_ptr<const WeightSource> split(std::shared_ptr<const WeightSource> source) const;
  const GptConfig& config() const { return source_->config(); }
  void make_folder();
  bool holds_another_run() const;
  int train(TrainOutcome& outcome);
  CheckpointFacts facts(int64_t done, double best) const;
  void report(const TrainOutcome& outcome);
  std::string sample() const;
  std::string checkpoint_path() const { return out + "/ckpt.safetensors"; }
};

// As --uneven says.
std::shared_ptr<const WeightSource> TrainCommand::split(
    std::shared_ptr<const WeightSource> source) const {
  if (!settings.uneven) return source;
  return std::make_shared<UnevenParts>(std::move(source));
}

// --resume: the run's settings come from its checkpoint, and the command line may change some.
void TrainCommand::take_up() {
  if (resume.empty()) {
    if (out.empty()) out = "out";
    return;
  }
  std::shared_ptr<const WeightSource> found = open_checkpoint(resume);
  resumed_ = std::dynamic_pointer_cast<const TplabCheckpoint>(found);
  if (!resumed_)
    fail_file(
        resume, "is no training run of tplab's",
        "give the folder that `tplab train` wrote, or start from its weights with --checkpoint");
  settings.take_up(resume, *resumed_);
  first_step_ = resumed_->step();
  if (!out.empty()) return;
  const std::filesystem::path file = *find_tplab_checkpoint(resume);
  out = file.has_parent_path() ? file.parent_path().string() : ".";
}

void TrainCommand::open_model() {
  if (resumed_) source_ = split(resumed_);
  if (!resumed_ && !settings.checkpoint.empty())
    source_ = split(open_checkpoint(settings.checkpoint));
  if (source_) {
    if (settings.seq == 0) settings.seq = config().block_size;
    open_data(&config());
    return;
  }
  if (settings.seq == 0)
    settings.seq = settings.block ? settings.block : find_preset(settings.preset).config.block_size;
  open_data(nullptr);
  source_ =
      split(initial_weights(settings.new_model(dataset_.vocab_size), {.seed = settings.seed}));
}

// known: the model, if there is one already. Its tokenizer is found beside it or in it.
void TrainCommand::open_data(const GptConfig* known) {
  DatasetOptions options{
      .block_size = settings.seq,
      .special = settings.special ? SpecialTokens::allow : SpecialTokens::as_text,
      .id_width = parse_id_width(settings.data_dtype)};
  if (known) options.vocab_size = known->vocab_size;
  if (resumed_ && resumed_->has_tokenizer()) {
    options.tokenizer = resumed_->tokenizer();  // what the ids meant when they were learned
  } else if (!settings.tokenizer.empty()) {
    options.tokenizer = open_tokenizer(settings.tokenizer);
  } else if (known && settings.data.empty()) {
    options.tokenizer = open_tokenizer(find_tokenizer(resumed_ ? resume : settings.checkpoint));
  }
  if (!settings.data.empty()) {
    dataset_ = open_dataset(settings.data, options);
  } else if (!settings.text.empty()) {
    dataset_ = open_dataset(settings.text, options);
  } else {
    dataset_ = dataset_of_text(documentation_text(), "tplab's documentation", options);
  }
  if (known && dataset_.vocab_size > known->vocab_size)
    fail(fmt::format("the data has {} tokens and the model knows {}", dataset_.vocab_size,
                     known->vocab_size),
         "use the tokenizer that belongs to the model: --tokenizer PATH");
}

// Before the work, not at its first save.
void TrainCommand::make_folder() {
  const std::string fix = "choose another folder with --out";
  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (error) fail(fmt::format("{}: cannot be made: {}", in_quotes(out), error.message()), fix);
  if (access(out.c_str(), W_OK | X_OK) != 0)
    fail(fmt::format("{}: cannot be written to: {}", in_quotes(out), std::strerror(errno)), fix);
  if (std::filesystem::is_directory(checkpoint_path(), error))
    fail(fmt::format("{}: is a folder, and the checkpoint's name", checkpoint_path()), fix);
  if (!folder_.lock(out))
    fail(fmt::format("{}: another run is at work there", in_quotes(out)), "wait for it, or " + fix);
}

bool TrainCommand::holds_another_run() const {
  std::error_code error;
  if (!std::filesystem::exists(checkpoint_path(), error)) return false;
  if (resumed_ &&
      std::filesystem::equivalent(*find_tplab_checkpoint(resume), checkpoint_path(), error))
    return false;
  to_stderr("{} is of another run: it is kept as {}.old\n", checkpoint_path(), checkpoint_path());
  return true;
}

CheckpointFacts TrainCommand::facts(int64_t done, double best) const {
  return {.config = config(),
          .step = done,
          .best_val_loss = best,
          .train = settings.to_json(),
          .tokenizer = dataset_.tokenizer.get()};
}

// Returns the signal that ended it early, or 0.
int TrainCommand::train(TrainOutcome& outcome) {
  const ShardPlan plan(config(), settings.tp);
  const TrainerOptions options = settings.trainer();
  const LoopOptions loop = settings.loop(first_step_);
  SharedSave save(checkpoint_path(), holds_another_run());
  const Interrupt interrupt;
  // The first rank to see the signal picks a step that no rank has begun: collectives keep ranks
  // less than one step apart.
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> stop_at = kNever;
  World(settings.world()).run([&](Rank& rank) {
    const auto trainer = make_trainer(rank, *source_, plan, options);
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
  return outcome.stopped() ? interrupt.signal() : 0;
}

// What the trained model writes, from the checkpoint it was saved to.
std::string TrainCommand::sample() const {
  const auto trained = split(open_checkpoint(checkpoint_path()));
  const ShardPlan plan(trained->config(), settings.tp);
  std::vector<int32_t> prompt(1);  // what the text begins with
  dataset_.train.read(0, 1, prompt.data());
  std::string written;
  World({.tp = settings.tp}).run([&](Rank& rank) {
    const Gpt gpt(rank, *trained, plan, parse_dtype(settings.dtype));
    const auto ids =
        generate(gpt, prompt, 200, {.temperature = 0.8, .top_k = 200, .seed = settings.seed});
    if (rank.index() != 0) return;
    written =
        dataset_.tokenizer ? dataset_.tokenizer->show(ids) : fmt::format("{}", fmt::join(ids, " "));
  });
  return written;
}

// The checkpoint is saved by now, and the results are printed before they are written to a file, so
// that a file that cannot be written costs nothing else.
void TrainCommand::report(const TrainOutcome& outcome) {
  const std::string results = out + "/" + results_file_name(settings.tp, settings.dp);
  if (output.json()) {
    output.document(outcome.document());
  } else {
    output.text(outcome.text());
    output.text(fmt::format("saved {}\n", checkpoint_path()));
  }
  output.flush();
  try {
    write_results(results, outcome.document());
  } catch (const Error& e) {
    throw Error(e.kind(), e.problem() + fmt::format(" (the run is saved: {})", checkpoint_path()),
                e.fix());
  }
  if (output.json()) return;
  output.text(fmt::format("saved {}\n", results));
  if (!outcome.stopped() && !no_sample)
    output.text(fmt::format("\na sample{}:\n{}\n",
                            dataset_.tokenizer ? "" : " (token ids, as the data names no tokens)",
                            sample()));
}

void TrainCommand::run(int& exit_code) {
  take_up();
  settings.check();
  open_model();
  settings.check(config());
  if (first_step_ >= settings.steps)
    fail(fmt::format("the run has taken {} of {} steps already", first_step_, settings.steps),
         "give more with --steps N");
  make_folder();
  to_stderr("training on {}\n", dataset_.description);
  for (const std::string& note : dataset_.notes) to_stderr("tplab: note: {}\n", note);
  TrainingResults empty;
  empty.model = config();
  empty.options = settings.to_json();
  empty.tp = settings.tp;
  empty.dp = settings.dp;
  empty.warmup_steps = warmup_steps;
  TrainOutcome outcome(std::move(empty), settings.forecast(config()), first_step_, settings.steps);
  if (const int signal = train(outcome)) {
    exit_code = 128 + signal;  // what a shell expects
    to_stderr(
        "tplab: stopped after {} of {} steps, all saved; go on with\n  tplab train --resume "
        "{}\n",
        outcome.done(), settings.steps, shell_word(out));
  }
  report(outcome);
  output.close();
}

void TrainCommand::add_options(CLI::App& app) {
  app.add_option("--resume", resume, "go on with the run in this folder")
      ->type_name("FOLDER")
      ->check(not_empty());
  app.add_option("-o,--out", out,
                 "where checkpoints and results go (out; the run's that is resumed)")
      ->type_name("FOLDER")
      ->check(not_empty());
  settings.add_options(app);
  app.add_option("--warmup-steps", warmup_steps, "first steps left out of the averages")
      ->check(whole_number(0));
  app.add_flag("--no-sample", no_sample, "do not write a sample at the end");
  output.add_format_options(app);
}

}  // namespace

void add_train(CLI::App& app, int& exit_code) {
  auto command = std::make_shared<TrainCommand>();
  CLI::App* sub = app.add_subcommand("train", "Train a model on a mesh of virtual ranks");
  sub->footer(R"(Examples:
  tplab train                                      a small model on tplab's documentation
  tplab train --text input.txt --tp 2 --out run    nanoGPT's recipe for a laptop, on two ranks
  tplab train --resume run --tp 4 --sp             go on, on another mesh
  tplab train --checkpoint ckpt.pt --text more.txt --lr 1e-4
Ctrl-C saves and stops, with exit code 130.)");
  command->add_options(*sub);
  sub->callback([command, &exit_code] { command->run(exit_code); });
}

}  // namespace tplab::cli
