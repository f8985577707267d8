// The options of commands that run one step to look at it: `tplab trace`, and pictures of a run.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cli/command.h"
#include "verify/predict.h"
#include "viz/recorded_step.h"

namespace tplab::cli {

// What the rank of this global index must send in such a step, by the papers' counts.
std::vector<PredictedEvent> predict(const ShardPlan& plan, const StepOptions& step, int rank);

struct StepSettings {
  ModelChoice model;
  MachineChoice machine;
  std::string dtype = "f32", algorithm = "direct";
  uint64_t seed = 1337;
  int zero = 0;
  StepOptions step;

  void add_options(CLI::App& app);
  // The model's weights, drawn biases included, after filling and checking `step`.
  std::unique_ptr<WeightSource> open();
};

}  // namespace tplab::cli
