// Tensors that another program computed, from a safetensors file.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/tokens.h"
#include "sim/dtype.h"

namespace tplab {

struct GoldenTensor {
  std::string name;  // in the file: "activation.ln1", "logits"
  std::string site;  // ours: "block 0/ln_1"; empty if no site of ours holds it
  std::vector<int64_t> shape;
  DType dtype;  // what the other program computed in
  std::vector<double> values;
};

struct Golden {
  Tokens tokens;                 // x
  std::vector<int32_t> targets;  // y, or empty
  std::optional<double> loss;
  DType loss_dtype = DType::f64;
  std::vector<GoldenTensor> tensors;  // logits and activation.*
  // Greedy decoding: the tokens to continue, and what the other program continued them with.
  std::vector<int32_t> greedy_prompt, greedy_new;

  // The loss's gradient, and training: `steps` optimizer steps from the model's weights, one each
  // of batches 1 to `steps` of x and y. Parameters by nanoGPT's names and in its layout, whole.
  // What the file does not hold is empty.
  std::map<std::string, std::vector<double>> gradients;  // grad.<parameter>
  int64_t steps = 0;
  std::vector<Tokens> train_tokens;                  // [steps] of [B, T]
  std::vector<std::vector<int32_t>> train_targets;   // [steps] of [B, T]
  std::vector<double> train_losses;                  // [steps], each before its step
  std::vector<double> train_grad_norms;              // [steps], before clipping
  std::map<std::string, std::vector<double>> after;  // after<steps>.<parameter>
  DType train_dtype = DType::f64;                    // the coarsest that any of these is stored in
};

// Reads `x` [B, T] (or [N, B, T], of which the first batch is used), and where present `y`, `loss`,
// `logits` [B, T, V], `greedy` [1, n] and every `activation.<site>`: a site of tplab's
// ("block 0/attn/qkv") or one of the usual names of nanoGPT's parts in block 0 (tok_emb, ln1, qkv,
// attSm, yProj, ...; see golden.cpp). Of training, `grad.<parameter>`, and with K more batches in x
// and y, `train.losses` [K], `train.grad_norms` [K] and `after<K>.<parameter>`.
// Throws Error(bad_file) where x is missing or shapes do not fit the model or each other.
Golden read_golden(const std::string& path, const GptConfig& config);

}  // namespace tplab
