// Freshly initialised weights, as nanoGPT initialises them, by global index.
#pragma once

#include <memory>

#include "model/weights.h"

namespace tplab {

struct InitOptions {
  uint64_t seed = 1337;
  // nanoGPT starts biases at 0 and norm weights at 1. Zero biases hide every bug about biases, so
  // the verifier has them drawn: biases N(0, 0.02), norm weights 1 + N(0, 0.02).
  bool draw_biases = false;
};

// Weights of embeddings and linears N(0, 0.02); those that write to the residual stream,
// to which a network of L blocks adds 2 L times, N(0, 0.02 / sqrt(2 L)).   source: nanoGPT
// model.py, Radford et al. 2019, section 2.3 Every value is a function of (seed, parameter name,
// global index): the same at every tp, and no rank computes more than its slice.
std::unique_ptr<WeightSource> initial_weights(const Architecture& architecture,
                                              InitOptions options = {});

}  // namespace tplab
