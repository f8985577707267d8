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

// Threads: each rank adds its own steps; the rest is rank 0's or after the run.
class TrainOutcome {
 public:
  // best_before: what best.safetensors holds when a run goes on.
  TrainOutcome(TrainingResults results, MemoryForecast forecast,
               std::optional<KeptBest> best_before, int64_t first_step, int64_t last_step);

  void add(Rank& rank, const StepRecord& record);  // draws a progress bar on rank 0
  void add_evaluation(int64_t done, const Evaluation& evaluation);  // prints a line; rank 0
  void saved(const SavePoint& point, bool is_best);                 // rank 0
  void finish(int64_t done);                                        // rank 0

  const std::optional<KeptBest>& best_before() const { return best_before_; }
  const std::optional<KeptBest>& best() const { return best_; }  // in best.safetensors
  const std::optional<SavePoint>& last_saved() const { return last_saved_; }
  int64_t done() const { return done_; }
  bool stopped() const { return done_ < last_step_; }  // before the last step

  // The results file: model/training/results.h, with
  // "evaluations": [{"step", "train_loss", "val_loss"}],
  // "checkpoints": {"best", "last"}, each {"file", "step", "val_loss"} or null, and
  // "activations": {"measured_bytes", "predicted_bytes", "kept_whole_bytes", "paper_bytes"}: of the
  //   rank that has most, null if no step was taken, and model/plan/training_memory.h's.
  nlohmann::ordered_json document() const;
  std::string text() const;  // a summary for people

 private:
  struct Eval {
    int64_t done;
    Evaluation losses;
  };
  void note_rise(int64_t done, double val_loss);
  TrainingResults merged() const;
  std::string memory_text(const StepRecord& last) const;

  const MemoryForecast forecast_;
  const std::optional<KeptBest> best_before_;
  std::optional<KeptBest> best_ = best_before_, lowest_ = best_before_;
  std::optional<SavePoint> last_saved_;
  int evaluations_above_ = 0;  // one after the other, the lowest
  TrainingResults results_;    // all but the steps and the ranks' use
  int64_t first_step_, last_step_, done_;
  std::vector<std::vector<StepRecord>> steps_;  // by global rank
  std::vector<RankUse> use_;
  std::vector<Eval> evaluations_;
  Progress progress_;
};

}  // namespace tplab::cli
