// What a training step needs in memory, from the sizes alone: to be held against what is measured.
#pragma once

#include <cstdint>

#include "model/shard_plan.h"
#include "model/training/trainer.h"

namespace tplab {

// Bytes on one rank.
struct TrainingMemory {
  int64_t weights = 0, gradients = 0;
  int64_t moments = 0;      // Adam's m and v
  int64_t activations = 0;  // kept from the forward for the backward pass
  int64_t working = 0;      // gradients of activations, and copies for collectives, at the peak
  int64_t total() const { return weights + gradients + moments + activations + working; }
};

// What a training step is expected to need, to be held against what it took. Bytes on one rank.
struct MemoryForecast {
  TrainingMemory memory;
  int64_t activations_kept_whole;    // what they would be without recompute
  int64_t activations_of_the_paper;  // layers that keep attention's probabilities and masks too
};

// Of the first tp rank: where parts are unequal, it has the largest.
// sequences: of one micro-batch of one replica.
//   With d bytes a number, S = B T C d, and a stream of R = S (R = S/tp under SP), a block keeps
//     2 R + 2 I + 4 S/tp + 2 (F/C) S/tp + B T H/tp d
//   where I is what its two layers read: S, or R if that is gathered again. For F = 4 C at tp 1
//   that is 16 S: Korthikanti et al. 2022's sbh(16 d + 2) without the dropout masks, which are not
//   kept, and without as²b(2 d + 1): the probabilities are computed anew. With recompute a block
//   keeps R.
// Collectives are the direct ones: ring, tree and gather-and-sum keep copies of what they move.
TrainingMemory training_memory(const Architecture& architecture, const TrainerOptions& options,
                               int64_t sequences, int64_t length);

// activations_of_the_paper is Korthikanti et al. 2022, table 2: a layer's sbh(16 d + 2) +
// as²b(2 d + 1), split as they say.
MemoryForecast forecast_memory(const Architecture& architecture, const TrainerOptions& options,
                               int64_t sequences, int64_t length);

}  // namespace tplab
