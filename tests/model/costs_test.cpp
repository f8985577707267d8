// What a pass is found to cost by running it, against the formulas by the sizes alone.
#include "model/plan/costs.h"

#include <catch2/catch.hpp>

#include "model/config.h"

namespace tplab {
namespace {

GptConfig small(bool bias, int64_t hidden) {
  return {.n_layer = 3,
          .n_head = 4,
          .n_embd = 48,
          .block_size = 64,
          .vocab_size = 131,
          .n_inner = hidden,
          .bias = bias};
}

// Weights of a block's four linears.
double block_weights(const GptConfig& c) {
  return static_cast<double>(4 * c.n_embd * c.n_embd + 2 * c.n_embd * c.n_inner);
}

double head_weights(const GptConfig& c) {  // of the vocabulary as it is padded
  return static_cast<double>((c.vocab_size + 63) / 64 * 64 * c.n_embd);
}

// 2 B T (L (4 C² + 2 C F) + V C) + 2 L C B T (T + 1): products, and the causal half of attention.
double forward_flops(const GptConfig& c, int64_t B, int64_t T) {
  const auto tokens = static_cast<double>(B * T), layers = static_cast<double>(c.n_layer);
  return 2 * tokens * (layers * block_weights(c) + head_weights(c)) +
         2 * layers * static_cast<double>(c.n_embd) * tokens * static_cast<double>(T + 1);
}

// Numbers that a token of every sequence must read: each weight of the linears and the head once,
// biases and norms, and keys and values of `seen` positions.
double decode_numbers(const GptConfig& c, int64_t B, int64_t seen) {
  const auto layers = static_cast<double>(c.n_layer);
  const double vectors =
      layers * static_cast<double>(c.bias ? 9 * c.n_embd + c.n_inner : 2 * c.n_embd);
  return layers * block_weights(c) + head_weights(c) + vectors +
         2 * layers * static_cast<double>(c.n_embd * seen * B);
}

}  // namespace

TEST_CASE("costs: a forward pass multiplies what the formula says, and a step three times that") {
  for (const bool bias : {true, false}) {
    for (const int64_t hidden : {192, 100}) {
      const GptConfig c = small(bias, hidden);
      const Architecture architecture = c;
      for (const int64_t T : {1, 2, 37, 64}) {
        for (const int64_t B : {1, 3}) {
          const double expected = forward_flops(c, B, T);
          CHECK(forward_cost(architecture, B, T, DType::f32).flops == expected);
          CHECK(training_cost(architecture, B, T, DType::f64).flops == 3 * expected);
        }
      }
    }
  }
}

TEST_CASE("costs: a step of decoding reads weights and cache, and little else") {
  for (const bool bias : {true, false}) {
    const GptConfig c = small(bias, 192);
    for (const int64_t B : {1, 3}) {
      const auto bytes = [&](int64_t past, int64_t count, DType dtype) {
        return decode_cost(c, B, past, count, dtype).bytes;
      };
      // Its activations are the same at every position: what is left when the formula is taken off.
      const double rest = bytes(10, 1, DType::f32) - 4 * decode_numbers(c, B, 11);
      // Per sequence and layer some 15 vectors of C and 3 of F, and the logits thrice.
      const auto most = 4 * static_cast<double>(B * (c.n_layer * (40 * c.n_embd + 8 * c.n_inner) +
                                                     20 * c.n_embd + 4 * c.vocab_size));
      CHECK(rest > 0);
      CHECK(rest < most);
      CHECK(bytes(30, 1, DType::f32) - 4 * decode_numbers(c, B, 31) == rest);
      CHECK(bytes(10, 2, DType::f32) == bytes(10, 1, DType::f32) + bytes(11, 1, DType::f32));
      CHECK(bytes(0, 1, DType::f32) < bytes(1, 1, DType::f32));
      // Twice as wide, but for the ids of a token and a position, and in each layer the number of
      // positions in the cache.
      const auto ids = static_cast<double>((2 + c.n_layer) * 4 * B);
      CHECK(bytes(10, 1, DType::f64) - ids == 2 * (bytes(10, 1, DType::f32) - ids));
    }
  }
  const Architecture gpt2 = find_preset("gpt2").config;
  const double numbers = decode_numbers(gpt_config(gpt2), 1, 65);
  const double bytes = decode_cost(gpt2, 1, 64, 1, DType::f32).bytes;
  CHECK(bytes > 4 * numbers);
  CHECK(bytes < 4 * numbers * 1.01);
}

}  // namespace tplab
