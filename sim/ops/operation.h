// An operation is a value: what it computes is the struct's comment, what it is given are its
// fields.
//
// Shapes and dtypes are checked where it is made (sim/ops.h), so a device may assume what the
// comments say. An absent array is one that is not present(). Gradients of parameters (dw, db,
// dtable, dweight, dbias) are ADDED to, everything else that is written is overwritten.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "sim/array.h"
#include "sim/random.h"

namespace tplab {

enum class Gelu {
  erf,   // x Phi(x): nanoGPT, PyTorch's default
  tanh,  // its approximation (Hendrycks and Gimpel 2016): OpenAI's GPT-2, "gelu_new"
};

// Which numbers dropout drops: a function of global indices alone, so the masks are the same
// however tensors are split. Number i is dropped if 32 bits of the stream at i (word i % 4 of block
// i / 4) are below rate * 2^32; what stays is divided by 1 - rate.
struct DropoutMask {
  double rate = 0;  // 0 <= rate < 1
  RandomStream stream;
  // Element (b, t, c) of this rank's [B, T, C] is number
  //   ((first_sequence + b) whole_length + first_position + t) C + c;
  // attention probability (b, h, t, s), the whole sequence being here, is number
  //   (((first_sequence + b) whole_heads + first_head + h) whole_length + t) whole_length + s.
  int64_t first_sequence = 0, first_position = 0, whole_length = 0;
  int64_t first_head = 0, whole_heads = 0;
};

// One step of AdamW, the numbers in it being the same for every parameter of a group.
struct AdamW {
  double learning_rate, beta1, beta2, eps, weight_decay;
  double grad_scale;  // gradients are multiplied by this first: clipping
  int64_t step;       // from 1
};

namespace op {

// The arrays of an operation; null past the last, and absent ones among them.
using Arrays = std::array<const Array*, 4>;

}  // namespace op

}  // namespace tplab
