// What a training run shows while it runs, and what it leaves behind.
#pragma once

#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "model/training/loop.h"
#include "model/training/memory.h"
#include "model/training/results.h"

namespace tplab::cli {

// Threads: each rank adds its own steps; the rest is rank 0's or after the run.
class TrainOutcome {
 public:
  TrainOutcome(TrainingResults results, MemoryForecast forecast, int64_t first_step,
               int64_t last_step);

  void add(Rank& rank, const StepRecord& record);  // draws a progress bar on rank 0
  void add_evaluation(int64_t done, const Evaluation& evaluation);  // prints a line; rank 0
  void finish(int64_t done);                                        // rank 0

  int64_t done() const { return done_; }
  bool stopped() const { return done_ < last_step_; }  // before the last step

  // The results file: model/training/results.h, with
  // "evaluations": [{"step", "train_loss", "val_loss"}], and
  // "activations": {"measured_bytes", "predicted_bytes", "kept_whole_bytes", "paper_bytes"}: of the
  //   rank that has most, null if no step was taken, and model/training/memory.h's.
  nlohmann::ordered_json document() const;
  std::string text() const;  // a summary for people

 private:
  struct Eval {
    int64_t done;
    Evaluation losses;
  };
  TrainingResults merged() const;
  std::string memory_text(const StepRecord& last) const;

  const MemoryForecast forecast_;
  TrainingResults results_;  // all but the steps and the ranks' use
  int64_t first_step_, last_step_, done_;
  std::vector<std::vector<StepRecord>> steps_;  // by global rank
  std::vector<RankUse> use_;
  std::vector<Eval> evaluations_;
  Progress progress_;
};

}  // namespace tplab::cli
