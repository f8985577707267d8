// Runs steps of a model on a mesh of virtual ranks to be looked at: one with its times, one without
// numbers for its collectives alone, or several for what each rank did with its time.
#pragma once

#include <string>
#include <vector>

#include "model/training/trainer.h"
#include "model/weights.h"
#include "sim/machine/rank_times.h"
#include "sim/machine/world.h"
#include "viz/recording/run_recording.h"

namespace tplab {

struct StepOptions {
  Parallelism parallelism = {};
  bool forward_only = false;  // logits of every position; else a whole training step
  int64_t batch = 0;          // sequences of all replicas together (0: 2 a micro-batch of each)
  int64_t seq = 0;            // tokens of each (0: 64, or the model's context if shorter)
  Algorithm algorithm = Algorithm::direct;
  std::string device = "cpu", comm = "threads";
  double timeout_s = 300;  // WorldOptions::timeout_s
  DType dtype = DType::f32;
  uint64_t seed = 1337;  // of the tokens

  TrainerOptions trainer() const {
    return {.dtype = dtype, .parallelism = parallelism, .seed = seed};
  }
  ShardPlan plan(const Architecture& architecture) const {
    return {architecture, parallelism.tp, parallelism.uneven};
  }
  int64_t micro_batch() const { return parallelism.micro_batch(batch); }
};

// Fills what is 0. Throws Error(usage) for a step that is not possible: a mesh, a length, a batch
// that does not divide, what only training has.
void complete(StepOptions& options, const Architecture& architecture);

// Throws Error(unavailable) if record_step needs more memory than the machine has.
void require_step_memory(const WeightSource& source, const StepOptions& options);

// "training step, tp 2, dp 1, SP, 4 x 64 tokens, f32, direct"
std::string describe(const StepOptions& options);

struct RecordedStep {
  RunRecording run;
  std::vector<RankRecord> ranks;  // their ledgers have that step alone
};

// The second of two steps, so that its times are not those of first touching memory. Its recording
// says `model` and describe(options).   REQUIRES: complete()
RecordedStep record_step(const WeightSource& source, const StepOptions& options,
                         const std::string& model);

// One step on the meta device: the same collectives, no numbers, no times worth reading.
std::vector<RankRecord> count_step(const WeightSource& source, const StepOptions& options);

struct WatchedRank {
  RankTimes times;   // of all the steps
  MemoryUse memory;  // at their end, and at most since the rank began
};

// So many steps, after a first one that does not count, as in record_step. By global index.
//   REQUIRES: complete(), steps at least 1
std::vector<WatchedRank> watch_steps(const WeightSource& source, const StepOptions& options,
                                     int64_t steps);

}  // namespace tplab
