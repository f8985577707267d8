// What a pass costs: arithmetic and bytes, found by running it without numbers on the meta device.
//
// On one rank, where nothing is done twice. The padding of the vocabulary (ShardPlan::padded_vocab)
// is computed, and so it counts.
#pragma once

#include <cstdint>

#include "model/architecture.h"
#include "sim/ops/operation.h"

namespace tplab {

// Of a forward pass over tokens [batch, length], to all their logits. For GPT-2's blocks, whose
// hidden layer is F wide, its flops are   2 B T (L (4 C² + 2 C F) + V C) + 2 L C B T (T + 1),
// V with its padding.
Cost forward_cost(const Architecture& architecture, int64_t batch, int64_t length, DType dtype);

// Of one optimizer step: forward, backward and AdamW. Its flops are three times the forward pass',
// for the backward pass multiplies every pair of matrices twice, once for either's gradient: 6 a
// parameter of the linears and token (Kaplan et al. 2020), and attention.
Cost training_cost(const Architecture& architecture, int64_t batch, int64_t length, DType dtype);

// Of `count` steps of decoding, one after the other, each a token for every sequence, the first
// with `past` positions in the cache. Nearly all of its bytes are weights and cache.
Cost decode_cost(const Architecture& architecture, int64_t batch, int64_t past, int64_t count,
                 DType dtype);

}  // namespace tplab
