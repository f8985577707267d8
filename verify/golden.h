// Tensors that another program computed, from a safetensors file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/files/stored.h"
#include "model/tokens.h"

namespace tplab {

// The dimensions of 1 at the front dropped: those of a batch or a position that stands for itself.
Shape without_leading_ones(const Shape& shape);

// What another program holds for something that tplab computes.
struct GoldenTensor {
  std::string name;  // in the file: "activation.ln1", "logits", "train.losses[2]"
  // Ours: a site ("block 0/ln_1"), "loss", or a name of gradient_truth's or steps_truth's
  // ("grad.<parameter>", "step 3/loss", "after.<parameter>").
  std::string site;
  Shape shape;  // in the file, but for columns past the vocabulary
  StoredType stored = StoredType::f64;
  std::vector<double> values;
  std::string note = {};  // what of it is compared, where that is not all of it
};

// A tensor of the file that was not compared, and why.
struct NotCompared {
  std::string tensor, why;
  bool elsewhere = false;  // `verify` compares it, but with --backward, or without
};

struct Golden {
  std::string path;
  Tokens tokens;                      // x
  std::vector<int32_t> targets;       // y, -1 where left out of the loss; or empty
  std::vector<GoldenTensor> tensors;  // all that can be compared, in the order of the file
  // Greedy decoding: the tokens to continue, what the other program continued them with, and how
  // many more the file has, which would take too long.
  std::vector<int32_t> greedy_prompt, greedy_new;
  int64_t greedy_left = 0;
  // Training: `steps` optimizer steps from the model's weights, one each of batches 1 to `steps` of
  // x and y.
  int64_t steps = 0;
  std::vector<Tokens> train_tokens;                 // [steps] of [B, T]
  std::vector<std::vector<int32_t>> train_targets;  // [steps] of [B, T]
  std::vector<NotCompared> unknown;                 // what tplab does not read

  const GoldenTensor* find(std::string_view site) const;  // the first; null where there is none
};

// Reads, into what is compared:
//   x             token ids, any integers: [B, T], [T], or [N, B, T], of which the first batch is
//                 used; or input_ids, as Hugging Face calls it
//   y             targets of x's shape; -1 or -100 where one does not count. Or Hugging Face's
//                 labels, which are shifted here: position t's target is labels[t + 1]
//   loss          the mean over the targets that count
//   logits        [B, T, V], of the last position alone [B, 1, V] or [B, V], or wider than V
//   greedy        [1, n] or [n], which begins as x's first row does
//   activation.<site>, a site of tplab's ("block 0/attn/qkv") or one of the usual names of
//   nanoGPT's
//                 parts in block 0 (tok_emb, ln1, qkv, attSm, yProj, ...; see golden_names.cpp)
// and of training grad.<parameter>, and with K more batches in x and y, train.losses [K],
// train.grad_norms [K] and after<K>.<parameter>: parameters by nanoGPT's names, in its layout.
// Numbers may be f64, f32, bf16 or f16. What has no known name is in `unknown`.
// Throws Error(bad_file) where there is no x, or shapes do not fit the model or each other.
Golden read_golden(const std::string& path, const Architecture& architecture);

// What it is held against: a forward pass or training, in f64 and other dtypes or in those alone.
// Greedy tokens are compared in f64: in f32 two logits closer than rounding may rightly swap.
struct GoldenUse {
  bool training = false, f64 = true;
};
std::vector<NotCompared> not_compared(const Golden& golden, const GoldenUse& use);
// Throws Error(bad_file) that lists them if nothing is compared.
void require_compared(const Golden& golden, const GoldenUse& use);

}  // namespace tplab
