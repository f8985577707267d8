// Every parameter of the network: one row each, and the only place that knows its facts.
//
// Sharding, initialising, loading, saving, the flat list, AdamW, memory tables, pictures and the
// verifier read the row. None of them looks at a name or guesses from a shape.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"

namespace tplab {

// What a parameter is for, whatever a file calls it.
enum class Role {
  token_embedding,     // [V, C]
  position_embedding,  // [block, C]
  norm,                // [C], before a block's attention or MLP, or (outside the blocks) the last
  q,                   // [C, C], a head's D rows together; as k and v
  k,
  v,
  attention_out,  // [C, C]: its inputs are the heads
  mlp_up,         // [F, C]
  mlp_down,       // [C, F]
  head,           // [V, C], of a model that does not tie it
};

// Where in the network a parameter is: in which block, and for which of its additions to the
// stream.
struct Place {
  static constexpr int64_t kOutside = -1;

  int64_t block = kOutside;
  int64_t join = 0;  // 0 adds attention, 1 the MLP

  bool in_block() const { return block != kOutside; }
  auto operator<=>(const Place&) const = default;
};

struct ParameterId {
  Role role;
  bool bias = false;
  Place at = {};

  auto operator<=>(const ParameterId&) const = default;
};
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

// A fresh value: mean + deviation * normal. `drawn` is the deviation where biases and norms, which
// start constant, are drawn (InitOptions).
struct Distribution {
  float mean = 0, deviation = 0, drawn = 0;
};

struct ParameterRow {
  ParameterId id;
  Shape shape;  // whole: linears [out, in], vectors [n]
  Split split = Split::whole;
  int64_t unit = 1;  // rows or columns that stay together: a head's
  // One product reads it together with the row before: a rank stores it right behind that one's.
  bool joined = false;
  bool decays = false;  // weight decay is for matrices: nanoGPT decays parameters of two dimensions
  // Under SP each rank's gradient of a norm or of a bias on the stream is one term of a sum.
  bool gradient_in_terms = false;
  Distribution initial = {};
  // Where it is saved, whose random numbers it draws, and what people call it: rows first_row .. of
  // this tensor. q, k and v lie one below the other in nanoGPT's c_attn.
  std::string tensor = {};
  int64_t first_row = 0;
};

// In nanoGPT's order; the rows of one tensor are neighbours. A tied head has no row of its own.
std::vector<ParameterRow> parameters(const GptConfig& config);

// A tensor as it is saved and shown, under nanoGPT's name: one parameter, or several.
struct NamedTensor {
  std::string name;  // "transformer.h.0.attn.c_attn.weight"
  ParameterId id;    // of the first
  Shape shape;
  size_t first_row = 0, rows = 1;  // in parameters()

  bool fused() const { return rows > 1; }  // [Q|K|V]
};

std::vector<NamedTensor> named_tensors(const std::vector<ParameterRow>& rows);
std::vector<NamedTensor> named_tensors(const GptConfig& config);

int64_t parameter_count(const GptConfig& config);

}  // namespace tplab
