// An operation is a value: what it computes is the struct's comment, what it is given are its
// fields. It is run by a Device.
//
// A header a family, forward and backward together: first the operations as values, then the typed
// functions that layers call. Those check shapes and dtypes, which are local, so a device may
// assume what the structs' comments say; they throw Error(run) naming the site, allocate the
// result, and follow their rule in sim/placement.h. None communicates. Tensors are taken by value
// where the result may reuse their memory: pass a temporary, or std::move, and nothing is
// allocated.
//
// Beside each typed function stands its backward: from dy, the gradient of the result, it returns
// the gradient of its activation and ADDS to the gradients of its parameters. The placements of
// both follow from the duals, so a reduction that is missing or doubled does not compile.
//
// An absent array is one that is not present(). Gradients of parameters (dw, db, dtable, dweight,
// dbias, dsinks) are ADDED to, everything else that is written is overwritten. Ids (tokens,
// targets, positions) are i32, the same on every rank.
//
// The arrays of an operation have one dtype, but for ids, and for what a comment calls an
// accumulator's, as gradients of parameters always are: accumulator(dtype), which is f32 where the
// others are bf16. Every bf16 that is read is a float, the arithmetic is f32's, and what is written
// as bf16 is rounded once, at the end.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "sim/array.h"
#include "sim/random.h"

namespace tplab {

// f(x) of one number, under the names that the formats' configs have for them.
enum class ActivationKind {
  gelu,        // x Φ(x): nanoGPT, PyTorch's default
  gelu_tanh,   // its approximation (Hendrycks and Gimpel 2016): OpenAI's GPT-2, "gelu_new"
  silu,        // x σ(x), σ(x) = 1 / (1 + exp(-x)): Llama
  quick_gelu,  // x σ(1.702 x)
  relu,        // max(x, 0)
  tanh,
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
  int64_t step;  // from 1
};

// What an operation costs at the least, as a machine's two limits count it.
struct Cost {
  // Of products of matrices, a multiply and an add being two. What a backward pass computes again
  // is not counted, and what acts on one number at a time neither: of a step's time that is bytes.
  double flops = 0;
  double bytes = 0;  // read and written, each number once

  Cost& operator+=(const Cost& other) {
    flops += other.flops;
    bytes += other.bytes;
    return *this;
  }
};

namespace op {

// The arrays of an operation; null past the last, and absent ones among them. What is overwritten
// in place or added to is read and written.
using Arrays = std::array<const Array*, 6>;

// Bytes of those that are there.
template <class List>
double bytes_of(const List& arrays) {
  double sum = 0;
  for (const Array* array : arrays)
    if (array && array->present()) sum += static_cast<double>(array->bytes());
  return sum;
}

// Of products, 2 rows cols depth.
inline double product_flops(int64_t rows, int64_t cols, int64_t depth) {
  return 2 * static_cast<double>(rows) * static_cast<double>(cols) * static_cast<double>(depth);
}

// An operation's own cost(), or none but reading and writing its arrays.
template <class Op>
Cost cost_of(const Op& o) {
  if constexpr (requires { o.cost(); })
    return o.cost();
  else
    return {0, bytes_of(o.reads()) + bytes_of(o.writes())};
}

}  // namespace op

}  // namespace tplab
