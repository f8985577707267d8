// A training step of any model on any mesh, run on the meta device and recorded, for pictures.
#pragma once

#include <vector>

#include "viz/recording/flow.h"
#include "viz/recording/recorded_step.h"

namespace tplab {

// What each rank did, by global index.
struct StepOnMeta {
  std::vector<Flow> flows;
  std::vector<RankRecord> records;
  DType dtype = DType::f32;
};

// One optimizer step, first pass to last update. No weight is read.   REQUIRES: complete(options)
StepOnMeta step_on_meta(const WeightSource& source, const StepOptions& options);

// Throws Error(run) unless the weights that the run used are those of the plan, part for part: a
// picture drawn from another plan than the run's would show what never was.
void check_same_plan(const ShardPlan& plan, const StepOnMeta& run);

}  // namespace tplab
