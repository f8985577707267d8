// The independent reference: a dense transformer, forward and backward, which the tensor-parallel
// one must match.
//
// It shares no code with model/ or sim/ but the architecture's struct (and errors), and no matrix
// product but Eigen's in double. Reference<double> is the truth; Reference<Rough>, the same text, a
// draw of what rounding alone may do to it, from which the verifier derives its bounds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "verify/reference/rough.h"

namespace tplab {

// A whole parameter by its name (reference_names.h; a GPT's are nanoGPT's), linears [out, in],
// row-major. Called
// for one layer at a time and not remembered, so that no more than a layer and the token table are
// in memory; the backward pass asks for the layers a second time.
using Weights = std::function<std::vector<double>(const std::string& name)>;

// What the network holds at a site ("block 3/attn/proj"), as computed, converted to double.
struct Activation {
  std::string site;
  Shape shape;
  std::vector<double> values;
};

// Receives each activation, in the order of the network:
//   embed/tok  embed/pos [1, T, C], of learned positions  embed/out
//   block i/ln_1  block i/attn/qkv [B, T, (H + 2 K) D]
//   block i/attn/q [B, H, T, D]  block i/attn/k  block i/attn/v [B, K, T, D], as scores read them
//   block i/attn/scores [B, H, T, T], scaled, -inf where masked  block i/attn/softmax [B, H, T, T]
//   block i/attn/heads [B, T, H D]  block i/attn/proj (with bias)
//   block i/mid (the stream after attention)
//   block i/ln_2  block i/mlp/fc [B, T, F], gated [B, T, 2 F]  block i/mlp/gelu [B, T, F], of other
//   activations and gates block i/mlp/act  block i/mlp/proj (with bias)
//   block i/out (the stream after the block)  ln_f  head/logits [B, T, V]
// and [B, T, C] where no shape is given. K: key heads, H of a GPT. Of other families: a join of two
// branches is "attn+mlp", its norms ln_1_0 and ln_1_1; a norm after a join ln_1_after; experts are
// "experts", with experts/router [B, T, count].
using Visitor = std::function<void(Activation)>;

struct TokenBatch {
  int64_t B = 0, T = 0;
  std::vector<int> tokens;        // [B, T]
  std::vector<int> targets = {};  // [B, T] or empty; -1 is left out of the loss
};

struct ReferenceOutput {
  Shape shape;  // {B, T, V}
  std::vector<double> logits;
  std::optional<double> loss;  // mean cross-entropy, where there are targets
};

struct ReferenceLoss {
  double loss = 0;
  std::vector<double> logits;  // [B, T, V]
};

template <class Real>
using TakeGradient = std::function<void(const std::string& name, std::vector<Real> gradient)>;

struct ReferenceGradients : ReferenceLoss {
  // Of every parameter, whole, by its name and in the layout of Weights. A tied head's is in the
  // token table's, together with the embedding's.
  std::map<std::string, std::vector<double>> parameters;
};

template <class Real>
class Reference {
 public:
  // ranks: of a run in a dtype that stores with fewer digits than it computes with (bf16), the most
  // that share out a layer: each stores its term of a sum.
  Reference(const Architecture& architecture, Weights weights, int64_t ranks = 1);

  // Throws Error(usage) for tokens or targets outside the vocabulary, a T longer than the block,
  // arrays that are not [B, T], or a parameter of the wrong size.
  ReferenceOutput forward(const TokenBatch& batch, const Visitor& visit = {}) const;

  // The loss and its gradient. `visit` is shown gradients with respect to activations, each
  // [B, T, C], in the order they are computed:
  //   head/grad (of ln_f's output)  block i/grad (of block i's input), from i = L-1 down to 0
  //   embed/grad (of the embedding's output: the same as block 0/grad)
  // Every block's activations are in memory at once. Throws as forward does, and Error(usage) for
  // a batch without targets.
  ReferenceGradients backward(const TokenBatch& batch, const Visitor& visit = {}) const;
  // The same, each parameter's gradient given to `take` as soon as it is whole, and not kept.
  ReferenceLoss backward(const TokenBatch& batch, const TakeGradient<Real>& take,
                         const Visitor& visit = {}) const;

  // The prompt and n_new more tokens, each the argmax of the last logits (the lowest index on
  // ties), all recomputed for every token from the last block_size tokens, as nanoGPT's generate.
  std::vector<int> greedy(const std::vector<int>& prompt, int64_t n_new) const;

 private:
  Architecture architecture_;
  Weights weights_;
  int64_t ranks_;
};

extern template class Reference<double>;
extern template class Reference<Rough<DType::f32>>;
extern template class Reference<Rough<DType::f64>>;
extern template class Reference<Rough<DType::bf16>>;

}  // namespace tplab
