// What training is held against: the reference's gradients and steps, and how far off rounding may
// take each.
#pragma once

#include <vector>

#include "model/tokens.h"
#include "model/weights.h"
#include "verify/reference/reference_train.h"
#include "verify/truth.h"

namespace tplab {

// Of one batch: "loss", "head/grad", "block i/grad" and "embed/grad", [B, T, C] each, and
// "grad.<parameter>". Bounds are drawn, as a forward pass's are; that of the loss is loss_bound().
// REQUIRES: at least one dtype.
Truth gradient_truth(const WeightSource& source, const TrainingBatch& batch, const Drawn& drawn,
                     const TellProgress& progress);

// Of optimizer steps, one a batch: "step k/loss", "step k/norm" and, after the last,
// "after.<parameter>". Their bounds are what rounding of the gradients, which is drawn, may do to
// them at most:
//   norm    |ε|, ε the bounds of all its gradients: ||g + ε| - |g|| <= |ε|, and a roundoff of f64,
//           in which it is added up, a square: half of one each here and there. None where that is
//           no less than the norm itself.
//   loss    loss_bound() and |g| |δ|, δ the bounds of all parameters before the step: to first
//           order a loss at p + δ differs by g · δ
//   after   AdamW divides a gradient by its own size: where one is no larger than its error, the
//           step's direction is rounding. A gradient off by ε moves its element by
//           2 lr clip ε / (√v̂ + eps), once for m̂ and once for √v̂, and by no more than turning it
//           round does: 2 lr (Σ a² / b)^½, a and b the weights of gradients in m̂ and of their
//           squares in v̂, by Cauchy and Schwarz. To that come the update's own roundings, each step
//           one of keeping p and one of the sum. Of a run in bf16 p are its masters, in f32.
// ε of an element is kMargin times the root of the mean over the draws of its error's square, or
// over its row's too, whichever is larger, and clipping's: g times the relative bound of the norm.
// A later step's gradients see parameters off by δ: of two draws each element may turn round in
// neither, so the draws' parameters are moved by up to half of δ at random as well.
// REQUIRES: at least one dtype and one batch.
Truth steps_truth(const WeightSource& source, const std::vector<TrainingBatch>& batches,
                  const TrainRecipe& recipe, const Drawn& drawn, const TellProgress& progress);

// How many numbers of 8 bytes are in memory at once for each parameter of the model, besides the
// weights that are read, while the truth of steps is worked out.
double numbers_of_steps_truth(const Architecture& architecture, int64_t positions, int64_t steps,
                              size_t dtypes);

}  // namespace tplab
