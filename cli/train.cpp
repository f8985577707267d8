// tplab train: trains a model on a mesh of virtual ranks, saves it, and shows what it has learned.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <optional>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/own_folder.h"
#include "cli/train_output.h"
#include "cli/train_settings.h"
#include "cli/train_start.h"
#include "model/checkpoints/checkpoint.h"
#include "model/files/bytes.h"
#include "model/generate.h"
#include "model/training/checkpointing.h"
#include "model/training/loop.h"
#include "sim/error.h"
#include "sim/machine/processes.h"
#include "sim/machine/world.h"

namespace tplab::cli {

namespace {

// As a shell takes it for one word.
std::string shell_word(const std::string& text) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("_./-+").find(c) != std::string_view::npos;
  };
  if (std::all_of(text.begin(), text.end(), plain)) return text;
  if (std::any_of(text.begin(), text.end(), [](char c) { return c < ' ' || c == '\x7f'; })) {
    std::string word = "$'";  // no byte that a terminal would obey, or not show
    for (const char c : text)
      word += plain(c) || c == ' ' ? std::string(1, c)
                                   : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    return word + "'";
  }
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
  TrainStart start_{settings};
  OwnFolder folder_;
  std::string earlier_;  // where the run that is in the folder will be kept; empty: none is there

  void make_folder();
  bool goes_on_in_place() const;
  std::optional<KeptBest> kept_best() const;
  TrainingResults new_results() const;
  std::vector<RankTraining> train(int& signal);
  CheckpointFacts facts(const SavePoint& point) const;
  std::string what_is_saved(const std::optional<SavePoint>& last) const;
  void report(const TrainOutcome& outcome);
  std::string files_text(const TrainOutcome& outcome, const std::string& results) const;
  std::string sample() const;
  std::string path_of(const char* name) const {
    return (std::filesystem::path(out) / name).string();
  }
};

// From the last checkpoint of the folder, which then is replaced.
bool TrainCommand::goes_on_in_place() const {
  std::error_code error;
  return start_.resumed() &&
         std::filesystem::equivalent(start_.resumed()->path(), path_of(kLastFile), error);
}

// Before the work, not at its first save.
void TrainCommand::make_folder() {
  const std::string fix = "choose another folder with --out";
  std::error_code error;
  folder_.make(out, error);
  if (error) fail_write(in_quotes(out) + ": cannot be made", error.value(), fix);
  if (access(out.c_str(), W_OK | X_OK) != 0)
    fail_write(in_quotes(out) + ": cannot be written to", errno, fix);
  for (const char* name : {kLastFile, kBestFile})
    if (std::filesystem::is_directory(path_of(name), error))
      fail(fmt::format("{}: is a folder, and a checkpoint's name", path_of(name)), fix);
  if (!folder_.lock(out))
    fail(fmt::format("{}: another run is at work there", in_quotes(out)), "wait for it, or " + fix);
  SharedSave(out).try_out(facts({.step = start_.first_step()}), parse_dtype(settings.dtype));
  if (goes_on_in_place() || names_of_run(out).empty()) return;
  earlier_ = first_free(path_of("earlier"));
  to_stderr("{} holds an earlier run: it will be kept in {}\n", out, earlier_);
}

// The best of this run that the folder has.
std::optional<KeptBest> TrainCommand::kept_best() const {
  if (!goes_on_in_place() || !may_exist(path_of(kBestFile))) return {};
  const TplabCheckpoint best(path_of(kBestFile));
  if (best.architecture() != start_.resumed()->architecture())
    fail_file(path_of(kBestFile), "is of another model than the run",
              "move it away, or go on in another folder with --out");
  return KeptBest{best.step(), best.val_loss()};
}

CheckpointFacts TrainCommand::facts(const SavePoint& point) const {
  return {.architecture = start_.architecture(),
          .step = point.step,
          .val_loss = point.val_loss,
          .best_val_loss = point.best_val_loss,
          .train = settings.to_json(out),
          .tokenizer = start_.dataset().tokenizer.get(),
          .folder = out};
}

// Returns what the ranks have done, by global index; signal: the one that ended it early, or 0.
std::vector<RankTraining> TrainCommand::train(int& signal) {
  const TrainerOptions options = settings.trainer();
  const LoopOptions loop = settings.loop(start_.first_step());
  const std::optional<KeptBest> best_before = kept_best();
  const Interrupt interrupt(
      "\ntplab: stopping after this step, to save it\n"
      "       Ctrl-C again stops at once, and saves nothing\n");
  constexpr double kNone = std::numeric_limits<double>::infinity();
  const auto body = [&](Rank& rank, RankTraining& training) {
    const auto trainer = make_trainer(rank, start_.source(), options);
    if (start_.resumed()) load_moments(rank, *start_.resumed(), *trainer);
    TrainWatch watch(rank, loop, warmup_steps, best_before, training);
    SharedSave save(out, earlier_);
    SavePoint point;
    if (start_.resumed()) point.best_val_loss = start_.resumed()->best_val_loss();
    double kept = best_before ? best_before->val_loss : kNone;
    const LoopHooks hooks{.on_step = [&](const StepRecord& r) { watch.add(r); },
                          .on_evaluation =
                              [&](int64_t done, const Evaluation& e) {
                                point.val_loss = e.val_loss;
                                point.best_val_loss = std::min(point.best_val_loss, e.val_loss);
                                watch.add_evaluation(done, e);
                              },
                          .save =
                              [&](int64_t done) {
                                point.step = done;
                                const bool is_best = point.val_loss < kept;
                                save.write(rank, *trainer, facts(point), is_best,
                                           [&] { watch.saved(point, is_best); });
                                kept = std::min(kept, point.val_loss);
                                point.val_loss = kNone;
                              },
                          .should_stop = [&](int64_t) { return interrupt.requested(); }};
    watch.finish(train_loop(rank, *trainer, start_.dataset(), loop, hooks));
    training.signal = interrupt.signal();
  };
  std::exception_ptr failed;
  auto [ranks, records] = World(settings.world()).try_run<RankTraining>(body, failed);
  try {
    if (failed) std::rethrow_exception(failed);
  } catch (const PeerFailed&) {
    throw;
  } catch (const Error& e) {  // of a save that was cut short not every rank knows
    std::optional<SavePoint> last;
    for (const RankTraining& rank : ranks)
      if (rank.last_saved && (!last || rank.last_saved->step > last->step)) last = rank.last_saved;
    throw Error(e.kind(), e.problem(), e.fix() + "; " + what_is_saved(last));
  }
  for (const RankTraining& rank : ranks)
    if (signal == 0 && rank.done < settings.steps) signal = rank.signal;
  return std::move(ranks);
}

// For whoever has just lost a run.
std::string TrainCommand::what_is_saved(const std::optional<SavePoint>& last) const {
  if (last) return fmt::format("step {} is saved in {}", last->step, path_of(kLastFile));
  if (start_.resumed())
    return fmt::format("{} is as it was, at step {}", start_.resumed()->path(),
                       start_.first_step());
  return "nothing was saved yet";
}

// What the trained model writes, from the checkpoint that other commands would read.
std::string TrainCommand::sample() const {
  const auto trained = open_checkpoint(out);
  const ShardPlan plan(trained->architecture(), settings.parallelism.tp,
                       settings.parallelism.uneven);
  std::vector<int32_t> prompt(1);  // what the text begins with
  start_.dataset().train.read(0, 1, prompt.data());
  const bool replicas = settings.parallelism.dp > 1;  // ranks of processes are of all of them
  if (replicas && !is_first_process()) return "";
  const auto [results, records] =
      World({.tp = settings.parallelism.tp,
             .comm = replicas ? "threads" : settings.machine.comm,
             .timeout_s = settings.machine.timeout_s})
          .run([&](Rank& rank) {
            const Network network(rank, *trained, plan, parse_dtype(settings.dtype));
            return generate(network, prompt, 200,
                            {.temperature = 0.8, .top_k = 200, .seed = settings.seed});
          });
  const std::vector<int32_t>& ids = results[0];
  return start_.dataset().tokenizer ? start_.dataset().tokenizer->show(ids)
                                    : fmt::format("{}", fmt::join(ids, " "));
}

std::string TrainCommand::files_text(const TrainOutcome& outcome,
                                     const std::string& results) const {
  std::string text;
  const auto last = outcome.last_saved();
  const auto best = outcome.best();
  if (best && best->step != last->step)
    text += fmt::format("saved {}: the best, step {}, val loss {:.4f}\n", path_of(kBestFile),
                        best->step, best->val_loss);
  text += fmt::format("saved {}: the last, step {}{}\n", path_of(kLastFile), last->step,
                      best && best->step == last->step ? ", the best so far" : "");
  text += fmt::format("saved {}\n", results);
  if (!earlier_.empty()) text += fmt::format("the earlier run is in {}\n", earlier_);
  return text + fmt::format("Other commands read the {}: tplab generate --checkpoint {}\n",
                            best ? "best" : "last", shell_word(out));
}

// The checkpoint is saved by now, and the results are printed before they are written to a file, so
// that a file that cannot be written costs nothing else.
void TrainCommand::report(const TrainOutcome& outcome) {
  const Mesh mesh = settings.parallelism.mesh();
  std::string results;
  once([&] { results = first_free(path_of(results_file_name(mesh.tp, mesh.dp).c_str())); });
  if (output.json())
    output.document(outcome.document());
  else
    output.lines(outcome.text());
  output.flush();
  try {
    once([&] { write_results(results, outcome.document()); });
  } catch (const Error& e) {
    throw Error(e.kind(), e.problem(), e.fix() + "; " + what_is_saved(outcome.last_saved()));
  }
  if (output.json()) return;
  output.lines(files_text(outcome, results));
  if (outcome.stopped() || no_sample) return;
  output.lines(fmt::format("\na sample{}:\n", start_.dataset().tokenizer
                                                  ? ""
                                                  : " (token ids, as the data names no tokens)"));
  output.text(cut_at(output.safe(sample()), output.columns()) + "\n");
}

TrainingResults TrainCommand::new_results() const {
  TrainingResults empty;
  empty.model = start_.architecture();
  empty.options = settings.to_json();
  empty.tp = settings.parallelism.tp;
  empty.dp = settings.parallelism.dp;
  empty.warmup_steps = warmup_steps;
  return empty;
}

void TrainCommand::run(int& exit_code) {
  start_.take_up(resume, out);
  if (!start_.resumed()) settings.machine.spread(settings.parallelism.tp, settings.parallelism.dp);
  settings.check();
  start_.open_model();
  settings.check(start_.architecture());
  if (start_.first_step() >= settings.steps)
    fail(fmt::format("the run has taken {} already, and --steps {} is no more",
                     counted(start_.first_step(), "step"), settings.steps),
         "give more with --steps N");
  start_.check_numbers();
  once([&] { make_folder(); });
  to_stderr("training on {}\n", start_.dataset().description);
  for (const std::string& note : start_.dataset().notes) to_stderr("tplab: note: {}\n", note);
  const Parallelism& how = settings.parallelism;
  if (how.sp && how.tp == 1) to_stderr("tplab: note: --sp does nothing at --tp 1\n");
  if (how.zero != Zero::none && how.dp == 1)
    to_stderr("tplab: note: --zero {} does nothing at --dp 1\n", static_cast<int>(how.zero));
  const MemoryForecast forecast = settings.forecast(start_.architecture());
  int signal = 0;
  const TrainOutcome outcome(new_results(), forecast, settings.steps, train(signal));
  if (signal) {
    exit_code = 128 + signal;  // what a shell expects
    to_stderr(
        "tplab: stopped after {} of {}, all saved; go on with\n  tplab train --resume "
        "{}\n",
        outcome.done(), counted(settings.steps, "step"), shell_word(out));
  }
  report(outcome);
  output.close();
}

void TrainCommand::add_options(CLI::App& app) {
  app.add_option("--resume", resume, "go on with the run in this folder")->type_name("FOLDER");
  app.add_option("-o,--out", out,
                 "where checkpoints and results go (out; the run's that is resumed)")
      ->type_name("FOLDER");
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
  mpirun -n 4 tplab train --dp 2 --comm mpi        a process for each rank
The folder keeps best.safetensors, of the lowest val loss, which other commands
read, beside ckpt.safetensors, the last, from which --resume goes on. A run that
was in it moves to FOLDER/earlier, earlier-2, ...
Ctrl-C saves and stops, with exit code 130. Training that diverges ends with 2.)");
  command->add_options(*sub);
  sub->callback([command, &exit_code] { command->run(exit_code); });
}

}  // namespace tplab::cli
