// A training step of any model on any mesh, run on the meta device and recorded, for pictures.
#pragma once

#include <vector>

#include "model/training/trainer.h"
#include "model/weights.h"
#include "viz/flow.h"

namespace tplab {

struct StepToDraw {
  int dp = 1;
  int64_t batch = 1, length = 1;  // sequences of the whole mesh, and tokens of each
  TrainerOptions trainer = {};
  Algorithm algorithm = Algorithm::direct;
};

// What each rank did, by global index.
struct StepOnMeta {
  std::vector<Flow> flows;
  std::vector<RankRecord> records;
  DType dtype = DType::f32;
};

// One optimizer step, first pass to last update. No weight is read.
// Throws Error(usage) for a batch that does not divide.
StepOnMeta step_on_meta(const WeightSource& source, const ShardPlan& plan, const StepToDraw& step);

// Throws Error(run) unless the weights that the run used are those of the plan, part for part: a
// picture drawn from another plan than the run's would show what never was.
void check_same_plan(const ShardPlan& plan, const StepOnMeta& run);

}  // namespace tplab
