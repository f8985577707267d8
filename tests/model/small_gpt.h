// The small models that the tests of training and of its verifier share.
#pragma once

#include <memory>

#include "model/init.h"

namespace tplab::testing {

// With everything a GPT-2 has. 67 ids are no multiple of anything, so ranks have padding.
inline const GptConfig kSmall{
    .n_layer = 2, .n_head = 4, .n_embd = 32, .block_size = 16, .vocab_size = 67, .n_inner = 128};

// To be shared out unevenly, at tp 4: 2, 2, 1 and 1 heads, and 25, 25, 24 and 24 features of the
// MLP.
inline const GptConfig kUneven{
    .n_layer = 2, .n_head = 6, .n_embd = 24, .block_size = 16, .vocab_size = 67, .n_inner = 98};

// Biases and norm weights are drawn, so that misplaced ones show.
inline std::unique_ptr<WeightSource> small_weights(const GptConfig& config = kSmall) {
  return initial_weights(config, {.seed = 11, .draw_biases = true});
}

}  // namespace tplab::testing
