// Weights that are no numbers: found before they are computed with, and named.
#pragma once

#include "model/weights.h"

namespace tplab {

// Throws Error(bad_file) that names the first weight, in the order of named_tensors(architecture)
// and by the source's own name and place, that is a NaN or an infinity, or that is too large for
// `dtype`:
//   "nanoGPT checkpoint ckpt.pt: transformer.h.0.mlp.c_fc.weight[3, 5] is NaN"
// Reads every weight once, at most 8 MiB of them at a time. Call it with what the weights will be
// held in, where a checkpoint is opened to be trained or verified: require_finite(*source, dtype).
void require_finite(const WeightSource& source, DType dtype);

// The same, and of AdamW's second moments, whose roots are taken: none may be below zero.
void require_finite_from_zero(const WeightSource& source, DType dtype);

}  // namespace tplab
