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
#include "sim/ops/rotary.h"

namespace tplab {

using AnyOperation =
    std::variant<op::Linear, op::LinearBackwardInput, op::LinearBackwardWeight, op::SumRows,
                 op::Add, op::Activation, op::ActivationBackward, op::Gated, op::GatedBackward,
                 op::SoftCap, op::SoftCapBackward, op::Dropout, op::LayerNorm,
                 op::LayerNormBackward, op::RmsNorm, op::RmsNormBackward, op::Rotary,
                 op::CachedAttention, op::CausalAttention, op::CausalAttentionBackward,
                 op::Embedding, op::EmbeddingBackward, op::RowMax, op::Pick, op::ExpRows,
                 op::SoftmaxMinusOnehot, op::SumOfLosses, op::CrossEntropy, op::SumOfSquares,
                 op::ClipScale, op::AdamW, op::LastPosition, op::JoinShards, op::CutShards>;

// One of them. A type of its own, so that sim/device.h can name it without knowing them.
struct Operation : AnyOperation {
  using AnyOperation::AnyOperation;
};

}  // namespace tplab
