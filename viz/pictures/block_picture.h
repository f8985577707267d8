// One block of a transformer on its ranks: what each computes, which part of which weight it holds,
// and what crosses between them. Drawn from a recorded step (flow.h) and the shard plan alone.
#pragma once

#include <string>
#include <vector>

#include "viz/drawing/picture.h"
#include "viz/recording/step_on_meta.h"

namespace tplab {

struct BlockOptions {
  std::string model;  // what ran, for the title: one or more lines
  int64_t layer = 0;
  bool forward = true, backward = false;
  int64_t micro_batches = 1;  // of the step; the first is drawn
  Algorithm algorithm = Algorithm::direct;
};

// A weight that a step uses.
struct BlockWeight {
  std::string name;   // "attn.c_attn.weight"
  std::string slice;  // of the saved tensor: "[0:64 | 128:192 | 256:320, :]"
  std::string local;  // "[192, 128]"
  std::string global;
  bool is_whole;
  std::string_view split;  // name(Split)'s
  bool gradient = false;   // its gradient, which the step adds to
};

// One step of one rank in the block.
struct BlockStep {
  std::string id;  // within the rank: "forward-3"
  Phase phase;
  bool again = false;     // of the forward pass, recomputed in the backward pass
  std::string operation;  // "linear", "all_reduce"; "from block 0" for a tensor made elsewhere
  std::string site;       // within the block: "attn"
  std::string name, shape, placement;  // of what it makes; empty for a gradient of a weight
  std::vector<BlockWeight> weights;
  struct From {
    std::string id;         // of a step of this rank
    std::string placement;  // if it is read as placed otherwise than it was made
  };
  std::vector<From> from;
  std::vector<std::string> saved;  // what it reads of the forward pass: "ln_1", "embed/out"
  std::optional<Event> collective;
  std::string before;  // a collective's operand's placement
};

// Of the first replica and its first micro-batch, rank by rank. Throws Error(usage) if there is no
// such layer.
std::vector<std::vector<BlockStep>> block_steps(const ShardPlan& plan, const StepOnMeta& run,
                                                const BlockOptions& options);

// A cluster a rank; each collective a box between them.
Graph block_graph(const std::vector<std::vector<BlockStep>>& ranks, const BlockOptions& options);

// Rank 0's steps, one below the other; the others do the same with their own parts.
std::string block_text(const std::vector<std::vector<BlockStep>>& ranks,
                       const BlockOptions& options, const TextStyle& style);

}  // namespace tplab
