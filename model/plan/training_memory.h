// What a training step needs in memory: found by running it without numbers, on the meta device.
#pragma once

#include <algorithm>
#include <cstdint>

#include "model/training/trainer.h"

namespace tplab {

// Bytes on one rank.
struct TrainingMemory {
  int64_t weights = 0, gradients = 0;
  int64_t moments = 0;      // Adam's m and v
  int64_t masters = 0;      // f32 copies of weights that are bf16
  int64_t activations = 0;  // kept from the forward for the backward pass
  int64_t working = 0;      // beyond these at the peak: gradients of activations, copies that move
  int64_t total() const { return weights + gradients + moments + masters + activations + working; }
};

// What a training step is expected to need, to be held against what it took. Bytes on one rank.
struct MemoryForecast {
  TrainingMemory memory;
  int64_t activations_kept_whole;    // what they would be without recompute
  int64_t activations_of_the_paper;  // layers that keep attention's probabilities and masks too
};

// The bytes of a step with n sequences, of which there are more than `most`, which would take their
// time to run: from what they are at `most` and at half of that, for every array of a step grows as
// its sequences do.
int64_t grown(int64_t at_half, int64_t at_most, int64_t most, int64_t n);

// How many sequences of `length` tokens run in no time without numbers.
inline int64_t most_sequences(int64_t length) { return std::max<int64_t>(2, (1 << 16) / length); }

// Of the first rank: where parts are unequal, it has the largest. sequences: of one micro-batch of
// one replica. Collectives are the direct ones: ring, tree and gather-and-sum keep copies of what
// they move. Runs a step on every rank of the mesh. Throws what make_trainer and the step throw.
TrainingMemory training_memory(const Architecture& architecture, const TrainerOptions& options,
                               int64_t sequences, int64_t length);

// activations_of_the_paper is Korthikanti et al. 2022, table 2: a layer's sbh(16 d + 2) +
// as²b(2 d + 1), split as they say.
MemoryForecast forecast_memory(const Architecture& architecture, const TrainerOptions& options,
                               int64_t sequences, int64_t length);

}  // namespace tplab
