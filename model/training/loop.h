// The training loop of one rank: steps, evaluations and saves, as nanoGPT's train.py has them.
#pragma once

#include <cstdint>
#include <functional>

#include "model/training/dataset.h"
#include "model/training/results.h"
#include "model/training/schedule.h"
#include "model/training/trainer.h"

namespace tplab {

struct LoopOptions {
  int64_t first_step = 0, steps = 2000;  // steps [first_step, steps)
  int64_t sequences = 12;                // a step, the whole mesh's, all micro-batches together
  int64_t length = 64;                   // T
  Schedule schedule = {};
  int64_t eval_interval = 250;  // 0: only at the end
  int64_t eval_batches = 20;    // of `sequences` each, for either part
  uint64_t seed = 1337;         // of the batches
};

struct Evaluation {
  double train_loss, val_loss;
};

// Called by every rank, in step with the others; an empty one is not called.
struct LoopHooks {
  std::function<void(const StepRecord& record)> on_step = {};
  std::function<void(int64_t steps_done, const Evaluation& evaluation)> on_evaluation = {};
  // After each evaluation, at the end, at a stop; never once the weights overflow, which throws.
  std::function<void(int64_t steps_done)> save = {};
  // Asked on every rank before each step. Where one says so, all stop: a signal, say, reaches ranks
  // at different moments, or one alone.
  //   comm: where it is given, 1 all-reduce of 8 bytes over each axis
  std::function<bool(int64_t steps_done)> should_stop = {};
};

// Returns how many steps are done, first_step's included: fewer than `steps` after a stop.
int64_t train_loop(Rank& rank, Trainer& trainer, const Dataset& data, const LoopOptions& options,
                   const LoopHooks& hooks);

// The mean loss of eval_batches batches of either part. The same batches at every call. Throws
// Error(usage) for one that is not finite.
Evaluation evaluate(Trainer& trainer, const Dataset& data, const LoopOptions& options,
                    int64_t steps_done);

}  // namespace tplab
