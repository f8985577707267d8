// The list of operations: a device that lacks one does not compile.
#pragma once

#include <variant>

#include "sim/ops/activation.h"
#include "sim/ops/attention.h"
#include "sim/ops/embedding.h"
#include "sim/ops/linear.h"
#include "sim/ops/loss.h"
#include "sim/ops/moves.h"
#include "sim/ops/norm.h"
#include "sim/ops/optimizer.h"

namespace tplab {

using Operation =
    std::variant<op::Linear, op::LinearBackwardInput, op::LinearBackwardWeight, op::SumRows,
                 op::Add, op::Gelu, op::GeluBackward, op::Dropout, op::LayerNorm,
                 op::LayerNormBackward, op::CachedAttention, op::CausalAttention,
                 op::CausalAttentionBackward, op::Embedding, op::EmbeddingBackward, op::RowMax,
                 op::Pick, op::ExpRows, op::SoftmaxMinusOnehot, op::CrossEntropy, op::SumOfSquares,
                 op::AdamW, op::LastPosition, op::JoinShards, op::CutShards>;

}  // namespace tplab
