// A forward pass of the model on virtual ranks, with and without a cache, held against the truth.
#pragma once

#include <functional>
#include <string>

#include "verify/truth.h"
#include "verify/verify.h"

namespace tplab {

// What the cache is held against: the logits of the last positions, as "decode/logits".
void add_decode(Truth& truth, const Tokens& tokens);

// The reference itself against the golden file.
std::vector<AgainstResult> compare_reference(const Golden& golden, const Truth& truth);

// Fills run, whose mesh and dtype are given: sites, loss, decoding, the golden file, the ledger.
// tell: what is being done.
void run_forward(const WeightSource& source, const VerifyOptions& options, const Truth& truth,
                 RunResult& run, const std::function<void(const std::string& what)>& tell);

}  // namespace tplab
