// Cross-entropy over a vocabulary that is split over the ranks; the logits are never gathered.
#pragma once

#include <cstdint>

#include "sim/collectives.h"
#include "sim/ops.h"

namespace tplab {

// This rank's part of the vocabulary: ids first .. first + cols - 1; logits past cols are padding.
struct VocabPart {
  int64_t first, cols;
};

// What is wanted: a token id for each position, [B, T]; below 0 is left out.
struct Targets {
  Tensor<Invariant> ids;
  double weight;  // of a position in the loss: 1 / how many count, in the whole batch of all ranks
};

// total += weight * sum over positions of (log(sum_j exp(l_j - m)) + m - l_target),  m = max_j l_j
//   comm: exactly 3 all-reduces of [B, T] forward (m, l_target, the sum), none backward
//   source: Shoeybi et al. 2019, section 3 ("fuse the output with the cross entropy loss")
struct CrossEntropy {
  Tensor<Varying> exps;    // [B, T, V/tp]: exp(l - m), in the logits' memory
  Tensor<Invariant> sums;  // [B, T]
  Targets targets;

  // Overwrites the logits.   logits: [B, T, V/tp]   total: [1], f64, the same on every rank
  CrossEntropy(Tensor<Varying> logits, const VocabPart& part, const Targets& target_ids,
               const Tensor<Invariant>& total);

  // d loss / d logits = weight (softmax - onehot(target)), in the same memory: call it once.
  Grad<Varying> backward(const VocabPart& part) &&;
};

}  // namespace tplab
