// Products of few rows with weights: decoding's, whose cost is reading the weights once. cuBLASLt
// is made for many. In a captured step one launch does what stands around such a product too: the
// norm before it, and the activation and sums behind it, which would each wait for a launch of
// their own, as long as reading two rows of weights a multiprocessor.
//
// It writes all that the operations say they write, with the bits that they have one by one: who
// reads what is between them finds it.
#pragma once

#include <array>
#include <span>

#include "sim/cuda/runtime.h"
#include "sim/cuda/side.h"
#include "sim/ops/list.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

constexpr int64_t kMostFewRows = 4;
constexpr unsigned kFewRowsThreads = 128;

// Operations one behind the other that one launch does. Null: there is none.
struct JoinedProduct {
  const op::LayerNorm* layer_norm = nullptr;  // or
  const op::RmsNorm* rms_norm = nullptr;      // whose y the product reads
  const op::Linear* product = nullptr;
  const op::Activation* activation = nullptr;  // of the product
  std::array<const op::Add*, 2> sums = {};     // of what came before, and something else
  size_t operations = 0;
};

// At most kMostFewRows, of weights that are there.
inline bool has_few_rows(const op::Linear& o) {
  return o.x.shape().rows() <= kMostFewRows && o.w.shape()[1] > 0;
}
// Those at the beginning of a list. None (operations 0) where there is no product of few rows, or
// only after something else.
JoinedProduct joined_product(std::span<const Operation> list);
void compute_joined(void* stream, const JoinedProduct& joined);

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
