// Gradients and optimizer steps on a mesh of virtual ranks, held against their truths.
#pragma once

#include "verify/truth.h"
#include "verify/verify.h"

namespace tplab {

// Both fill run, whose mesh and dtype are given. The gradients of the first batch, and the steps on
// the others, with what the first of them communicates.
void run_gradients(const WeightSource& source, const VerifyOptions& options, const Truth& truth,
                   RunResult& run);
void run_steps(const WeightSource& source, const VerifyOptions& options, const Truth& truth,
               RunResult& run);

}  // namespace tplab
