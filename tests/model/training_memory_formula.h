// What a training step needs in memory by the sizes alone, worked out by hand: what running it on
// the meta device is held against.
#pragma once

#include <algorithm>

#include "model/flat_layout.h"
#include "model/plan/training_memory.h"

namespace tplab::testing {

// With d bytes a number and a of an accumulator, S = B T C d, and a stream of R = S (R = S/tp under
// SP), a block keeps
//   2 R + 2 I + 4 S/tp + 2 (F/C) S/tp + 2 B T H/tp a
// where I is what its two layers read: S, or R if that is gathered again. For F = 4 C at tp 1 that
// is 16 S: Korthikanti et al. 2022's sbh(16 d + 2) without the dropout masks, which are not kept,
// and without as²b(2 d + 1): the probabilities are computed anew. With recompute a block keeps R.
// Ids are 4 bytes each: tokens, positions and targets.
// Gradients of parameters, moments and masters, and a number for each row, are accumulators.
inline TrainingMemory memory_by_formula(const Architecture& architecture,
                                        const TrainerOptions& options, int64_t sequences,
                                        int64_t length) {
  const Parallelism& how = options.parallelism;
  const ShardPlan plan(architecture, how.tp, how.uneven);
  const GptConfig c = gpt_config(architecture);
  const int64_t tp = how.tp, dp = how.dp, d = size_bytes(options.dtype);
  const int64_t tokens = sequences * length;
  const FlatLayout layout(plan, 0, how.dp);  // no rank has more heads than the first
  const int64_t d_sums = size_bytes(accumulator(options.dtype));
  const int64_t all = layout.count() * d_sums, part = all / dp;

  const int64_t S = tokens * c.n_embd * d;  // the stream, whole
  const bool sp = how.sp && tp > 1;
  const int64_t R = sp ? S / tp : S;             // what this rank has of it
  const int64_t I = sp && how.regather ? R : S;  // what a layer keeps of its input
  const int64_t hidden = tokens * plan.part(c.n_inner, 1, 0).size() * d;
  const int64_t heads = plan.part(c.n_head, 1, 0).size();
  const int64_t attention =  // q, k, v, y, and two numbers of a softmax
      tokens * heads * (4 * c.head_size() * d + 2 * d_sums);
  const int64_t block = 2 * R + 2 * I + attention + 2 * hidden;
  const int64_t kept = how.recompute ? R : block;
  const int64_t logits = tokens * plan.vocab_local() * d;
  // The last stream, the head's input, the loss, and the ids.
  const int64_t head = R + I + logits + tokens * d_sums + 3 * 4 * tokens;

  // Gathering or scattering along T needs the whole once more, and a second time in the order of
  // the ranks where there are several sequences.
  const int64_t moved = sp ? S + (sequences > 1 ? S : 0) : 0;
  // At the head: all activations, and the gradient of its input.
  const int64_t at_head = c.n_layer * kept + head + S + (sp ? moved - S + R : 0);
  // In the last block's perceptron: the stream's gradient, the hidden one's, and the input's.
  const int64_t again = how.recompute ? block - R : 0;
  const int64_t in_mlp = c.n_layer * kept + R + again + R + (sp ? S : 0) + S;
  // Then either the hidden layer's gradient, or, when what the perceptron kept is gone, the moves.
  const int64_t in_block = in_mlp + std::max(hidden, moved - 2 * hidden);

  TrainingMemory memory;
  memory.weights = layout.count() * d;
  memory.gradients = all;
  memory.moments = how.zero == Zero::none ? 2 * all : 2 * part;
  if (d != d_sums) memory.masters = memory.moments / 2;
  memory.activations = c.n_layer * kept + head;
  memory.working = std::max(at_head, in_block) - memory.activations;
  if (dp > 1 && how.zero == Zero::gradients)  // the part of the sum, when activations are gone
    memory.working = std::max(memory.working, part - memory.activations);
  return memory;
}

}  // namespace tplab::testing
