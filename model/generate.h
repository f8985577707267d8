// Generation: the next token from the logits, again and again, the same on every rank.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/network.h"

namespace tplab {

struct Sampling {
  double temperature = 1.0;  // logits are divided by it; 0 is greedy, the largest logit
  int64_t top_k = 0;         // keep the k most likely tokens; 0 keeps all
  double top_p = 1.0;        // then keep the fewest, most likely first, whose sum reaches top_p
  uint64_t seed = 1337;
};

// Throws Error(usage) for values that have no meaning: a negative temperature, a top_p of 0.
void check(const Sampling& sampling);

// The token drawn at `step` of a generation. A function of its arguments alone: ranks that hold
// the same logits draw the same token. Ties go to the lowest id. Throws Error(usage) on NaN.
int32_t pick(std::span<const double> logits, const Sampling& sampling, uint64_t step);

// Called on every rank with each new token; generation stops early when it returns false.
using OnToken = std::function<bool(int32_t token)>;

// n_new tokens after the prompt. Beyond the block the context is cropped to the last block_size
// tokens, as nanoGPT does; positions then shift, so the cache is filled anew for each token.
// Throws Error(usage) for an empty prompt or one longer than the block.
std::vector<int32_t> generate(const Network& network, const std::vector<int32_t>& prompt,
                              int64_t n_new, const Sampling& sampling,
                              const OnToken& on_token = {});

}  // namespace tplab
