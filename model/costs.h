// What a forward pass costs, from the sizes alone: arithmetic, bytes read, memory.
#pragma once

#include <cstdint>

#include "model/config.h"
#include "model/shard_plan.h"

namespace tplab {

// Floating-point operations (a multiply and an add are two) that a forward pass over tokens
// [B, T] needs: the linears, the head over the real vocabulary, and the causal half of attention.
//   2 B T (L (4 C² + 2 C F) + V C) + 2 L C B T (T + 1)
double forward_flops(const Architecture& architecture, int64_t batch, int64_t length);

// Of one optimizer step: forward and backward, which multiplies every pair of matrices twice, once
// for either's gradient. That is 6 a parameter of the linears and token (Kaplan et al. 2020), and
// attention. Forward passes that are computed again, and the optimizer's own, are not in it.
//   3 forward_flops
double training_flops(const Architecture& architecture, int64_t batch, int64_t length);

// Bytes that generating one token with `past` cached positions must read, all ranks together: each
// weight of the linears and the head once, and the keys and values.
//   (L (4 C² + 2 C F) + V C + biases and norms + 2 L C (past + 1)) * size_bytes(dtype)
double decode_bytes(const Architecture& architecture, int64_t past, DType dtype);

}  // namespace tplab
