// What a training run shows while it runs, and what it leaves behind.
#pragma once

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "model/plan/training_memory.h"
#include "model/training/loop.h"
#include "model/training/results.h"

namespace tplab::cli {

struct KeptBest {
  int64_t step = 0;
  double val_loss = 0;
};

// What a save is of. A loss is infinite where nothing was evaluated.
struct SavePoint {
  int64_t step = 0;
  double val_loss = std::numeric_limits<double>::infinity();
  double best_val_loss = std::numeric_limits<double>::infinity();
};

// What one rank's training came to. Evaluations and saves are the same on every rank.
struct RankTraining {
  struct Eval {
    int64_t done;
    Evaluation losses;
  };
  std::vector<StepRecord> steps;
  RankUse use;
  std::vector<Eval> evaluations;
  std::optional<KeptBest> best;  // in best.safetensors
  std::optional<SavePoint> last_saved;
  int64_t done = 0;  // the run's steps, earlier ones included
  int signal = 0;    // that asked this rank to stop
};

// Follows the training of one rank and fills in what comes of it. On rank 0 it also shows it: a
// progress bar, a line an evaluation.
class TrainWatch {
 public:
  // best_before: what best.safetensors holds when a run goes on. training: outlives this.
  TrainWatch(Rank& rank, const LoopOptions& loop, int64_t warmup_steps,
             const std::optional<KeptBest>& best_before, RankTraining& training);

  void add(const StepRecord& record);
  void add_evaluation(int64_t done, const Evaluation& evaluation);
  void saved(const SavePoint& point, bool is_best);
  void finish(int64_t done);

 private:
  void note_rise(int64_t done, double val_loss);

  Rank& rank_;
  bool shows_;
  int64_t first_step_, last_step_, warmup_steps_;
  std::optional<KeptBest> lowest_;
  int evaluations_above_ = 0;  // one after the other, the lowest
  RankTraining& training_;
  Progress progress_;
};

// What a run came to, from all its ranks, when it is over.
class TrainOutcome {
 public:
  // results: all but the steps and the ranks' use
  TrainOutcome(TrainingResults results, const MemoryForecast& forecast, int64_t last_step,
               std::vector<RankTraining> ranks);

  const std::optional<KeptBest>& best() const { return ranks_[0].best; }
  const std::optional<SavePoint>& last_saved() const { return ranks_[0].last_saved; }
  int64_t done() const { return ranks_[0].done; }
  bool stopped() const { return done() < last_step_; }  // before the last step

  // The results file: model/training/results.h, with
  // "evaluations": [{"step", "train_loss", "val_loss"}],
  // "checkpoints": {"best", "last"}, each {"file", "step", "val_loss"} or null, and
  // "activations": {"measured_bytes", "predicted_bytes", "kept_whole_bytes", "paper_bytes"}: of the
  //   rank that has most, null if no step was taken, and model/plan/training_memory.h's.
  nlohmann::ordered_json document() const;
  std::string text() const;  // a summary for people

 private:
  TrainingResults merged() const;
  std::string memory_text(const StepRecord& last) const;

  TrainingResults results_;
  MemoryForecast forecast_;
  int64_t last_step_;
  std::vector<RankTraining> ranks_;  // by global index
};

}  // namespace tplab::cli
