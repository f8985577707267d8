// What a forward pass must communicate, from the paper's counts and not from the model's code.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/shard_plan.h"
#include "sim/ledger.h"

namespace tplab {

struct PredictedEvent {
  std::string site;
  Op op;
  int64_t elements;       // of the whole tensor
  int64_t payload_bytes;  // elements * size
  int64_t wire_bytes;     // that `rank` sends, by the algorithm's formula
};

// A forward pass over tokens [B, T] that gathers the logits of every position: at tp > 1, in order,
// an all-reduce of [B, T, C] for the embedding, two a block (Shoeybi et al. 2019, figure 4), and an
// all-gather of the padded logits. Nothing at tp 1.
std::vector<PredictedEvent> predict_forward(const ShardPlan& plan, int64_t batch, int64_t length,
                                            DType dtype, Algorithm algorithm, int rank);

// The first way in which the counted events differ from the predicted ones, as a sentence; empty
// if they agree in number, order, site, operation, size and bytes sent.
std::string first_disagreement(const std::vector<PredictedEvent>& predicted,
                               const std::vector<Event>& counted);

}  // namespace tplab
