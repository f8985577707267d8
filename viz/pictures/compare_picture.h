// One training step split over n ranks in four ways: how often ranks wait for each other, what a
// rank sends, and what it keeps.
//
// TP and TP + SP are counted in a run on the meta device. The other two are not in tplab; their
// figures are these, with d bytes a number, B T of one micro-batch, L layers:
//   pipeline  n stages of L/n blocks. For each micro-batch a stage hands [B, T, C] on to the next
//             one, and gets its gradient back: B T C d sent each way, by all but the last and the
//             first. Ends: the first stage has the embedding, the last one the head; tied, they sum
//             their gradients of that matrix, V C numbers, once a step. Of m micro-batches' time a
//             stage is idle for (n-1)/(m+n-1).
//             source: Huang et al. 2019 (GPipe), section 2; Narayanan et al. 2021, section 2.2
//   naive     every linear splits its output features, and its output is gathered at once: forward
//             an all-gather of [B, T, 3C], [B, T, C], [B, T, F] and [B, T, C] a block, and of the
//             padded logits; backward each gather's dual, a reduce-scatter of the same size, but
//             for the logits, whose gradient every rank has whole. The embedding is TP's: one
//             all-reduce of [B, T, C] each way. The norms' gradients, one term on each rank, are
//             summed once a step.   source: the duals are those of sim/placement.h; Shoeybi et al.
//             2019 section 3 avoids these gathers by pairing columns with rows
// Both clip the gradients' norm, which is one all-reduce of a number.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "model/weights.h"
#include "viz/drawing/picture.h"
#include "viz/recording/recorded_step.h"

namespace tplab {

// What one rank does in one phase: the rank that sends most in the whole step.
struct SchemePhase {
  int64_t sync_points = 0;  // its collectives, and messages that it waits for
  int64_t wire_bytes = 0;
  bool operator==(const SchemePhase&) const = default;
};

struct Scheme {
  std::string name;
  bool counted = false;                    // in a run; else by the formulas above
  std::array<SchemePhase, 3> phases = {};  // by Phase
  int64_t activation_bytes = -1;           // kept for the backward pass, a rank; -1: not predicted
  std::string note = {};
  std::string refused = {};  // why this model cannot be split so; then the rest has no meaning

  int64_t sync_points() const;
  int64_t wire_bytes() const;
};

struct Comparison {
  std::string model, step;  // how people call them
  int ranks;
  std::vector<Scheme> schemes;
};

// `options`: tp ranks, its batch, seq, dtype, algorithm, recompute and micro-batches. Whether a
// scheme is possible is said in its row.   Throws Error(usage) for a step that no scheme can take.
Comparison compare_schemes(const WeightSource& source, StepOptions options, std::string model);

// Each of the formulas, for a model that divides. Throws Error(usage) for one that does not.
Scheme pipeline_scheme(const Architecture& architecture, const StepOptions& options);
Scheme naive_scheme(const Architecture& architecture, const StepOptions& options);

Graph comparison_graph(const Comparison& comparison);
std::string comparison_text(const Comparison& comparison, const TextStyle& style);

}  // namespace tplab
