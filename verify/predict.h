// What a forward pass and a training step must communicate, from the papers' counts and not from
// the model's code.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/parallelism.h"
#include "model/shard_plan.h"
#include "sim/machine/ledger.h"

namespace tplab {

struct PredictedEvent {
  std::string site;
  Phase phase;
  Axis axis;  // over which ranks
  Op op;
  int64_t elements;       // of the whole tensor
  int64_t payload_bytes;  // elements * size
  int64_t wire_bytes;     // that this rank sends, by the algorithm's formula
};

// What one replica computes at once.
struct StepShape {
  int64_t batch = 1, length = 1;  // of one micro-batch: [B, T]
  DType dtype = DType::f32;
  Algorithm algorithm = Algorithm::direct;
};

// A forward pass that gathers the logits of every position: at tp > 1, in order, an all-reduce of
// [B, T, C] for the embedding, two a block (Shoeybi et al. 2019, figure 4), and an all-gather of
// the padded logits. Nothing at tp 1.
std::vector<PredictedEvent> predict_forward(const ShardPlan& plan, const StepShape& shape,
                                            int tp_index);

// One optimizer step, in order, of the rank with this global index.   REQUIRES: plan is how's
// With S = B T C and L layers:
//   forward   TP: 1 + 2 L all-reduces of S.   SP: 1 all-reduce of S (the embedding, which is then
//             split), 2 L + 1 all-gathers and 2 L reduce-scatters of S.   Both: 3 all-reduces of
//             B T for the loss
//   backward  TP: 2 L + 1 all-reduces of S.   SP: 2 L + 1 all-gathers and 2 L + 1 reduce-scatters
//             (2 L + 1 all-gathers more with regather), and once a step an all-reduce of the norms'
//             and row biases' gradients: 6 C a block and 2 C.
//             recompute: each block's forward once more
//   dp        an all-reduce of the loss; the gradients, in buckets, or a reduce-scatter (ZeRO 2)
//   optimizer the norm: a scalar all-reduce over tp, and over dp for ZeRO 2; ZeRO: an all-gather
//   source: Korthikanti et al. 2022, section 4.2.2; Rajbhandari et al. 2020, section 7
std::vector<PredictedEvent> predict_step(const ShardPlan& plan, const Parallelism& how,
                                         const StepShape& shape, int rank);

// The first way in which the counted events differ from the predicted ones, as a sentence; empty
// if they agree in number, order, site, phase, group, operation, size and bytes sent.
std::string first_disagreement(const std::vector<PredictedEvent>& predicted,
                               const std::vector<Event>& counted);

}  // namespace tplab
