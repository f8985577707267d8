// A network as data: what it is made of, and nothing about how it is split.
//
//   blocks -> joins -> branches.  A join adds to the residual stream the sum of its branches, each
//   attention, an MLP or experts. GPT-2 and Llama have two joins a block; Falcon-7B one of two
//   branches.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "sim/ops/operation.h"  // ActivationKind

namespace tplab {

struct NormSpec {
  enum class Kind { layer, rms } kind = Kind::layer;
  double eps = 1e-5;
  bool bias = false;
  bool plus_one = false;  // multiplies by 1 + weight (Gemma)
  bool operator==(const NormSpec&) const = default;
};

// Rotary positions.   source: Su et al. 2021
struct Rope {
  // source: Llama 3.1's for llama3; Peng et al. 2023 for YaRN
  enum class Kind { plain, linear, llama3, yarn };
  struct Scaling {
    Kind kind = Kind::plain;
    double factor = 1;
    double low_factor = 1, high_factor = 4;  // llama3
    double beta_fast = 32, beta_slow = 1;    // YaRN
    bool truncate = true;                    // YaRN: the corrections' range to whole dimensions
    int64_t original_context = 0;            // llama3, YaRN
    bool operator==(const Scaling&) const = default;
  };

  double theta = 10'000;
  int64_t rotated = 0;  // features of a head that are turned, its first ones
  Scaling scaling = {};
  bool operator==(const Rope&) const = default;
};

// A norm of queries and keys: of each head by itself, or of all at once (OLMo 2).
struct QkNorm {
  NormSpec norm;
  bool full_width = false;
  bool operator==(const QkNorm&) const = default;
};

struct AttentionSpec {
  int64_t heads = 0, kv_heads = 0, head_size = 0;
  bool qkv_bias = false, out_bias = false;
  std::optional<QkNorm> qk_norm = {};
  std::optional<Rope> rope = {};
  int64_t window = 0;  // each position sees this many, itself included; 0: all before it
  bool sinks = false;  // one more logit a head, without a value
  double scale = 0;    // of the scores
  double softcap = 0;  // cap tanh(score / cap); 0: none

  int64_t group() const { return heads / kv_heads; }  // query heads of one key
  bool operator==(const AttentionSpec&) const = default;
};

// none: act(up x).  gated: act(gate x) * up x.  clamped: both clamped, and (up + 1) gate
// sigmoid(alpha gate), as gpt-oss has it.
struct Gating {
  enum class Kind { none, gated, clamped } kind = Kind::none;
  double limit = 0, alpha = 0;
  bool operator==(const Gating&) const = default;
};

struct MlpSpec {
  int64_t width = 0;
  ActivationKind activation = ActivationKind::gelu;
  Gating gating = {};
  bool bias = false;
  bool operator==(const MlpSpec&) const = default;
};

// How a position chooses its experts. Ties go to the lowest index.
struct Routing {
  bool softmax_over_chosen = false;  // of the chosen logits alone (gpt-oss)
  bool renormalise = false;          // the chosen ones' shares are divided by their sum
  bool bias = false;
  bool operator==(const Routing&) const = default;
};

struct ExpertsSpec {
  MlpSpec each;
  int64_t count = 0, active = 0;
  Routing routing = {};
  bool operator==(const ExpertsSpec&) const = default;
};

struct BranchSpec {
  std::variant<AttentionSpec, MlpSpec, ExpertsSpec> what;
  std::optional<NormSpec> before = {};  // of its own, where branches of a join have one each
  bool operator==(const BranchSpec&) const = default;
};

// x + after(sum of branches(before(x)))
struct JoinSpec {
  std::vector<BranchSpec> branches;
  std::optional<NormSpec> before = {}, after = {};
  bool operator==(const JoinSpec&) const = default;
};

enum class PositionKind { learned, in_attention };  // in_attention: rotary, or none

// More than any model has, few enough that the parameters of a hostile file can be listed.
inline constexpr int64_t kMostLayers = 10'000;

struct Architecture {
  // "gpt2": which format's names its parameters have.
  std::string family = {};
  int64_t width = 0, vocabulary = 0, context = 0;
  PositionKind positions = PositionKind::learned;
  bool tied_head = true;
  double embedding_scale = 1;  // Gemma: sqrt(width)
  double logits_softcap = 0;   // 0: none
  std::vector<std::vector<JoinSpec>> blocks = {};
  NormSpec final_norm;

  int64_t layers() const { return static_cast<int64_t>(blocks.size()); }
  bool operator==(const Architecture&) const = default;
};

// Calls f(spec) for every branch, in order: f takes an AttentionSpec, an MlpSpec or an ExpertsSpec.
template <class F>
void for_each_branch(const Architecture& architecture, F&& f) {
  for (const auto& block : architecture.blocks)
    for (const JoinSpec& join : block)
      for (const BranchSpec& branch : join.branches) std::visit(f, branch.what);
}

// For what is said of a model whose blocks are alike, such as its number of heads. Throws
// Error(unavailable) where the model has no such branch.
const AttentionSpec& first_attention(const Architecture& architecture);
const MlpSpec& first_mlp(const Architecture& architecture);

}  // namespace tplab
