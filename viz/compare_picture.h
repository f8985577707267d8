// Four ways to share a model out over n ranks, by what they send in one training step: how often
// ranks must meet, and how many bytes. Tensor parallelism, with and without sequence parallelism,
// is counted in a run; the others, which tplab does not run, are computed from the sizes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "viz/picture.h"
#include "viz/step_on_meta.h"

namespace tplab {

// What one rank does in one phase.
struct SplitTraffic {
  int64_t sync_points = 0;  // collectives, or messages to another stage, at most of any rank
  double bytes = 0;         // sent, on average over the ranks
};

struct WayToSplit {
  std::string name;
  std::string how;      // a sentence
  bool counted;         // else computed
  std::string why_not;  // if these sizes cannot be split like this; then nothing below holds
  SplitTraffic forward = {}, backward = {};

  double bytes() const { return forward.bytes + backward.bytes; }
};

struct ComparePicture {
  std::string title;  // one or more lines
  int ranks;
  std::vector<WayToSplit> ways;
};

// Of a step with options.tp ranks, one replica and one micro-batch; forward and backward, without
// the optimizer. With S = B T C numbers, n ranks, L blocks and all-gathers and all-reduces by
// options.algorithm:
//   TP, TP + SP   counted on the meta device, and held against the plan
//   pipeline      n stages of L/n blocks (Huang et al. 2019, GPipe): a stage sends S to the next,
//   and
//                 its gradient back; with a tied head the first and the last all-reduce the
//                 embedding's gradient, V C (Narayanan et al. 2021, section 3.3)
//   naive         every linear split by output features and gathered at once, so that each of 4 a
//                 block all-gathers its output (3 S, S, S F/C, S) and, backward, all-reduces its
//                 input's gradient (S, S, S, S F/C); the head gathers the logits, B T V, and
//                 all-reduces S
// Throws Error(usage) where not even TP can be.   REQUIRES: complete(options)
ComparePicture compare_picture(const WeightSource& source, const StepOptions& options,
                               const std::string& title);

Graph compare_graph(const ComparePicture& picture);
std::string compare_text(const ComparePicture& picture, const TextStyle& style);

}  // namespace tplab
