#include "model/costs.h"

namespace tplab {

namespace {
// Weights of a block's four linears.
double block_weights(const GptConfig& c) {
  return static_cast<double>(4 * c.n_embd * c.n_embd + 2 * c.n_embd * c.n_inner);
}
}  // namespace

double forward_flops(const Architecture& architecture, int64_t batch, int64_t length) {
  const GptConfig c = gpt_config(architecture);
  const double tokens = static_cast<double>(batch * length);
  const double layers = static_cast<double>(c.n_layer);
  const double head = static_cast<double>(c.vocab_size * c.n_embd);
  const double attention =
      2 * layers * static_cast<double>(c.n_embd) * tokens * static_cast<double>(length + 1);
  return 2 * tokens * (layers * block_weights(c) + head) + attention;
}

double training_flops(const Architecture& architecture, int64_t batch, int64_t length) {
  return 3 * forward_flops(architecture, batch, length);
}

double decode_bytes(const Architecture& architecture, int64_t past, DType dtype) {
  const GptConfig c = gpt_config(architecture);
  const double layers = static_cast<double>(c.n_layer);
  const double vectors =  // ln_1, ln_2 and, with biases, qkv, proj, fc, proj and the norms' own
      layers * static_cast<double>(c.bias ? 9 * c.n_embd + c.n_inner : 2 * c.n_embd);
  const double weights =
      layers * block_weights(c) + static_cast<double>(c.vocab_size * c.n_embd) + vectors;
  const double cache = 2 * layers * static_cast<double>(c.n_embd * (past + 1));
  return (weights + cache) * static_cast<double>(size_bytes(dtype));
}

}  // namespace tplab
