#include "model/training/memory.h"

#include <algorithm>

#include "model/flat_layout.h"

namespace tplab {

TrainingMemory training_memory(const Architecture& architecture, const TrainerOptions& options,
                               int64_t sequences, int64_t length) {
  const Parallelism& how = options.parallelism;
  const ShardPlan plan(architecture, how.tp, how.uneven);
  const GptConfig c = gpt_config(architecture);
  const int64_t tp = how.tp, dp = how.dp, d = size_bytes(options.dtype);
  const int64_t tokens = sequences * length;
  const FlatLayout layout(plan, 0, how.dp);  // no rank has more heads than the first
  const int64_t all = layout.count() * d, part = all / dp;

  const int64_t S = tokens * c.n_embd * d;  // the stream, whole
  const bool sp = how.sp && tp > 1;
  const int64_t R = sp ? S / tp : S;             // what this rank has of it
  const int64_t I = sp && how.regather ? R : S;  // what a layer keeps of its input
  const int64_t hidden = tokens * plan.part(c.n_inner, 1, 0).size() * d;
  const int64_t heads = plan.part(c.n_head, 1, 0).size();
  const int64_t attention = tokens * heads * (4 * c.head_size() + 1) * d;  // q, k, v, y, log sums
  const int64_t block = 2 * R + 2 * I + attention + 2 * hidden;
  const int64_t kept = how.recompute ? R : block;
  const int64_t logits = tokens * plan.vocab_local() * d;
  const int64_t head = R + I + logits + tokens * d;  // the last stream, the head's input, the loss

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
  memory.weights = memory.gradients = all;
  memory.moments = how.zero == Zero::none ? 2 * all : 2 * part;
  memory.activations = c.n_layer * kept + head;
  memory.working = std::max(at_head, in_block) - memory.activations;
  if (dp > 1 && how.zero == Zero::gradients)  // the part of the sum, when activations are gone
    memory.working = std::max(memory.working, part - memory.activations);
  return memory;
}

namespace {

int64_t activations_of_the_paper(const Architecture& architecture, const TrainerOptions& options,
                                 int64_t sequences, int64_t length) {
  const GptConfig c = gpt_config(architecture);
  const auto tp = static_cast<double>(options.parallelism.tp),
             d = static_cast<double>(size_bytes(options.dtype));
  const auto stream = static_cast<double>(sequences * length * c.n_embd);            // sbh
  const auto squares = static_cast<double>(sequences * length * length * c.n_head);  // as²b
  const bool sp = options.parallelism.sp && options.parallelism.tp > 1;
  // Of sbh(16 d + 2), 12 d is split by TP: q, k, v, heads, and twice the 4 h wide hidden layer.
  const double whole = stream * (4 * d + 2) / (sp ? tp : 1), split = stream * 12 * d / tp;
  return static_cast<int64_t>(static_cast<double>(c.n_layer) *
                              (whole + split + squares * (2 * d + 1) / tp));
}

}  // namespace

MemoryForecast forecast_memory(const Architecture& architecture, const TrainerOptions& options,
                               int64_t sequences, int64_t length) {
  TrainerOptions keeping = options;
  keeping.parallelism.recompute = false;
  return {training_memory(architecture, options, sequences, length),
          training_memory(architecture, keeping, sequences, length).activations,
          activations_of_the_paper(architecture, options, sequences, length)};
}

}  // namespace tplab
