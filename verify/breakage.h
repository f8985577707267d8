// Every way a bug gets into a run that is verified: the model's own text stays as it is.
#pragma once

#include <functional>
#include <memory>

#include "model/shard_plan.h"
#include "model/training/trainer.h"
#include "sim/comm_breakage.h"

namespace tplab {

struct Breakage {
  const WeightSource* weights = nullptr;      // the model's, if not those of the reference
  std::function<void(ShardPlan&)> plan = {};  // of a forward pass
  CommBreakage comm = {};                     // agreements and transports
  // The trainer of one rank; empty for make_trainer.
  std::function<std::unique_ptr<Trainer>(Rank&, const WeightSource&, const TrainerOptions&)>
      trainer = {};
};

}  // namespace tplab
