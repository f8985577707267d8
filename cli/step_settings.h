// The options of commands that run one step to look at it: `tplab trace`, and pictures of a run.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/trace_table.h"
#include "viz/recording/recorded_step.h"

namespace tplab::cli {

// What each rank counted in such a step beside what it must send by the papers' counts. ranks: by
// global index.
TraceTable trace_table(const ShardPlan& plan, const StepOptions& step,
                       const std::vector<RankRecord>& ranks);

struct StepSettings {
  ModelChoice model;
  MachineChoice machine;
  std::string dtype = "f32", algorithm = "direct";
  uint64_t seed = 1337;
  StepOptions step;

  void add_options(CLI::App& app);
  // The model's weights, drawn biases included, after filling and checking `step`.
  std::unique_ptr<WeightSource> open();
};

}  // namespace tplab::cli
