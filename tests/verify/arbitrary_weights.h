// A model's parameters, made up: for tests of the reference.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "verify/reference/reference.h"

namespace tplab::testing {

// Parameters that differ at every index and from one name to the next; none is zero or one.
inline Weights arbitrary_weights(const GptConfig& c) {
  return [c](const std::string& name) {
    const auto is = [&](const char* part) { return name.find(part) != std::string::npos; };
    const int64_t C = c.n_embd, F = c.n_inner;
    const int64_t out = is("wte") || is("lm_head") ? c.vocab_size
                        : is("wpe")                ? c.block_size
                        : is("c_attn")             ? 3 * C
                        : is("c_fc")               ? F
                                                   : C;
    const int64_t in = is("bias") || is("ln_") ? 1 : is("mlp.c_proj") ? F : C;
    double seed = 0;
    for (const char letter : name) seed = std::fmod(seed * 31 + letter, 1009);
    std::vector<double> values;
    for (int64_t i = 0; i < out * in; ++i)
      values.push_back((is("ln_") && is("weight") ? 1.0 : 0.0) +
                       0.4 * std::sin(seed + 1.7 * static_cast<double>(i)));
    return values;
  };
}

inline Weights with(Weights weights, const std::string& name, std::vector<double> values) {
  return [=](const std::string& asked) { return asked == name ? values : weights(asked); };
}

}  // namespace tplab::testing
