// How a training step is spread over ranks: the one way to say it, to check it and to show it.
#pragma once

#include <cstdint>
#include <string>

#include "sim/machine/mesh.h"

namespace tplab {

// How much of the training state the replicas share out (Rajbhandari et al. 2020): ZeRO's stages.
enum class Zero {
  none,       // every replica has everything: gradients are all-reduced
  states,     // ZeRO 1: each updates its part with its part of Adam's moments, then all gather
  gradients,  // ZeRO 2: gradients are reduce-scattered, so each gets only its part of their sum
};

struct Parallelism {
  int tp = 1;              // ranks that share a model
  int dp = 1;              // replicas of it, each with its part of the batch
  bool sp = false;         // sequence parallelism: the stream is split over T
  bool regather = false;   // SP: gather layers' inputs again in the backward pass, and keep less
  bool recompute = false;  // keep only each block's input, run the block again in the backward
  bool uneven = false;     // of what does not divide by tp, some ranks have more
  Zero zero = Zero::none;
  int64_t accumulation = 1;  // micro-batches a step

  Mesh mesh() const { return {.tp = tp, .dp = dp}; }
  // How many sequences of a step's a replica takes at once. REQUIRES: check_batch()
  int64_t micro_batch(int64_t sequences) const { return sequences / (dp * accumulation); }

  // "tp 2, dp 2, SP, gathered again, recompute, ZeRO 1, 2 micro-batches": what is not as usual.
  std::string text() const;

  // Throws Error(usage) for what cannot be, of any model: regather without sp, a ZeRO stage that is
  // none, less than one micro-batch. How many ranks there may be is check_world's, which ways to
  // split a model check_shares'.
  void check() const;
  // Throws Error(usage) unless a step's `sequences` of `length` tokens can be shared out like this.
  void check_batch(int64_t sequences, int64_t length) const;
};

}  // namespace tplab
