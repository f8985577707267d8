// What the reference's two directions share: a block's weights and activations, and the forward
// pass that may keep them.
#pragma once

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "verify/reference/dense.h"
#include "verify/reference/reference.h"

namespace tplab::dense {

// The two parameters of a linear layer or a layer norm; the bias is empty where there is none.
template <class Real>
struct Affine {
  std::vector<Real> weight, bias;
  Shares shares = {};  // of a linear layer's features
};

template <class Real>
struct BlockWeights {
  Affine<Real> ln_1, c_attn, attn_proj, ln_2, c_fc, mlp_proj;
};

// Everything a block computes, in order: what its backward needs.
template <class Real>
struct BlockActivations {
  std::vector<Real> x;                                                       // the block's input
  std::vector<Real> ln_1, qkv, q, k, v, scores, softmax, heads, proj, attn;  // attn = x + proj
  std::vector<Real> ln_2, fc, gelu, mlp_proj, y;                             // y = attn + mlp_proj
};

template <class Real>
struct NetworkActivations {
  std::vector<BlockActivations<Real>> blocks;  // empty unless kept; each y moved on
  std::vector<Real> x;                         // [B, T, C], what ln_f normalises
  std::vector<Real> ln_f, logits;              // [B, T, C], [B, T, V]
  Affine<Real> head;                           // the parameter: a tied one is the token table
};

// A parameter of `count` numbers, rounded to Real. Throws Error(usage) if it has another number.
template <class Real>
std::vector<Real> load(const Weights& weights, const std::string& name, int64_t count);
template <class Real>
Affine<Real> load_affine(const Weights& weights, const std::string& name, int64_t in, int64_t out,
                         bool bias);
template <class Real>
BlockWeights<Real> load_block(const Weights& weights, const GptConfig& config, int64_t i,
                              int64_t ranks);
inline constexpr const char* kTokenTable = "transformer.wte.weight";
inline constexpr const char* kPositionTable = "transformer.wpe.weight";
std::string head_name(const GptConfig& config);  // of the parameter

// A layer's operands, as dense.h wants them.
template <class Real>
Linear<Real> linear_of(const std::vector<Real>& x, const Affine<Real>& p, int64_t in, int64_t out) {
  return {.x = x, .weight = p.weight, .bias = p.bias, .in = in, .out = out, .shares = p.shares};
}
template <class Real>
LayerNorm<Real> norm_of(const std::vector<Real>& x, const Affine<Real>& p,
                        const GptConfig& config) {
  return {
      .x = x, .weight = p.weight, .bias = p.bias, .C = config.n_embd, .eps = config.layer_norm_eps};
}

// 0 .. T-1 for each sequence of the batch.
std::vector<int> positions(const TokenBatch& batch);

// Throws Error(usage) unless the batch fits the config.
void check_batch(const TokenBatch& batch, const GptConfig& config);

// The whole forward pass. Without keep_blocks no more than one block's activations are in memory.
// ranks: see Reference.
template <class Real>
NetworkActivations<Real> network_forward(const GptConfig& config, const Weights& weights,
                                         const TokenBatch& batch, const Visitor& visit,
                                         bool keep_blocks, int64_t ranks);

template <class Real>
std::vector<double> doubles(const std::vector<Real>& values) {
  std::vector<double> out;
  out.reserve(values.size());
  for (const Real& value : values) out.push_back(static_cast<double>(value));
  return out;
}

template <class Real>
void show(const Visitor& visit, std::string site, const Shape& shape,
          const std::vector<Real>& values) {
  if (visit) visit({std::move(site), shape, doubles(values)});
}

}  // namespace tplab::dense
