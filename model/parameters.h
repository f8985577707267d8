// Every parameter of the network: one row each, and the only place that knows its facts.
//
// Sharding, initialising, loading, saving, the flat list, AdamW, memory tables, pictures and the
// verifier read the row. None of them guesses what a parameter is from its name or its shape.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/architecture.h"
#include "model/config.h"
#include "sim/shape.h"

namespace tplab {

// What a parameter is for, whatever a file calls it. C: the width, H: heads, D: the width of a
// head, F: of an MLP.
enum class Role {
  token_embedding,     // [V, C]
  position_embedding,  // [context, C]
  norm,                // [C]
  q,                   // [H D, C]
  k,                   // [kv heads * D, C], as v
  v,
  q_norm,  // [D], or [H D] of a full-width one
  k_norm,
  sinks,          // [heads]
  attention_out,  // [C, H D]
  router,         // [experts, C]
  gate,           // [F, C]
  up,             // [F, C]
  down,           // [C, F]; the biases of all experts together are [C, experts]
  head,           // [V, C], of a model that does not tie it
};

// Which of the norms of one place: before a join or (outside the blocks) the head, before one of
// its branches, or after their sum.
enum class NormSlot { before, branch, after };

// Where in the network a parameter is.
struct Place {
  static constexpr int64_t kOutside = -1, kNoExpert = -1;

  int64_t block = kOutside;
  int64_t join = 0, branch = 0;
  int64_t expert = kNoExpert;        // of an expert's own
  NormSlot slot = NormSlot::before;  // of a norm

  bool in_block() const { return block != kOutside; }
  auto operator<=>(const Place&) const = default;
};

struct ParameterId {
  Role role;
  bool bias = false;
  Place at = {};

  auto operator<=>(const ParameterId&) const = default;
};
// "blocks.3.up.weight", "blocks.3.experts.5.up.bias", "blocks.3.norm_1_after.weight".
std::string text(const ParameterId& id);

constexpr ParameterId weight_of(Role role, Place at = {}) { return {role, false, at}; }
constexpr ParameterId bias_of(Role role, Place at = {}) { return {role, true, at}; }

// How it is split over the tensor-parallel ranks.
// source: Shoeybi et al. 2019, section 3 (columns, then rows); Megatron pads the vocabulary.
enum class Split {
  whole,  // all of it on every rank
  rows,   // a range of rows: output features (Megatron "column parallel") or their bias
  cols,   // a range of columns: input features (Megatron "row parallel")
  vocab,  // a range of rows of the padded vocabulary; rows past the real one are zeros
};

// Over whom a gradient is still to be summed when a rank's backward pass is done.
enum class GradientSum {
  none,      // it is whole, or the whole of this rank's part
  under_sp,  // a norm's or a bias' on the stream: of the rank's positions, under SP
  ranks,     // a router's or a head norm's: of the rank's experts or heads, always
};

// A fresh value: mean + deviation * normal. `drawn` is the deviation where biases and norms, which
// start constant, are drawn (InitOptions).
struct Distribution {
  float mean = 0, deviation = 0, drawn = 0;
};

struct ParameterRow {
  ParameterId id;
  Shape shape;  // whole: linears [out, in], vectors [n]
  Split split = Split::whole;
  // Rows or columns that stay together: of k a head's D; of q and of what reads the heads those of
  // all heads that share a key, so that they are on one rank.
  int64_t unit = 1;
  // One product reads it together with the row before: a rank stores it right behind that one's.
  bool joined = false;
  bool decays = false;  // weight decay is for matrices: nanoGPT decays parameters of two dimensions
  GradientSum gradient = GradientSum::none;
  Distribution initial = {};
  // Where tplab saves it, whose random numbers it draws, and what people call it: rows first_row ..
  // of this tensor. GPT-2's q, k and v lie one below the other in nanoGPT's c_attn.
  std::string tensor = {};
  int64_t first_row = 0;
};

// In the order of the network, which for a GPT is nanoGPT's; the rows of one tensor are neighbours.
// A tied head has no row of its own.
std::vector<ParameterRow> parameters(const Architecture& architecture);

// A tensor as it is saved and shown: one parameter, or several.
struct NamedTensor {
  std::string name;  // "transformer.h.0.attn.c_attn.weight"
  ParameterId id;    // of the first
  Shape shape;
  size_t first_row = 0, rows = 1;  // in parameters()

  bool fused() const { return rows > 1; }  // [Q|K|V]
};

std::vector<NamedTensor> named_tensors(const std::vector<ParameterRow>& rows);
std::vector<NamedTensor> named_tensors(const Architecture& architecture);

int64_t parameter_count(const Architecture& architecture);

}  // namespace tplab
