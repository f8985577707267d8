#include "model/costs.h"

namespace tplab {

namespace {
// Weights of a block's four linears.
double block_weights(const Architecture& c) {
  return static_cast<double>(4 * c.width * c.width + 2 * c.width * first_mlp(c).width);
}
}  // namespace

double forward_flops(const Architecture& c, int64_t batch, int64_t length) {
  const double tokens = static_cast<double>(batch * length);
  const double layers = static_cast<double>(c.layers());
  const double head = static_cast<double>(c.vocabulary * c.width);
  const double attention =
      2 * layers * static_cast<double>(c.width) * tokens * static_cast<double>(length + 1);
  return 2 * tokens * (layers * block_weights(c) + head) + attention;
}

double training_flops(const Architecture& architecture, int64_t batch, int64_t length) {
  return 3 * forward_flops(architecture, batch, length);
}

double decode_bytes(const Architecture& c, int64_t past, DType dtype) {
  const double layers = static_cast<double>(c.layers());
  const double vectors =  // ln_1, ln_2 and, with biases, qkv, proj, fc, proj and the norms' own
      layers *
      static_cast<double>(first_mlp(c).bias ? 9 * c.width + first_mlp(c).width : 2 * c.width);
  const double weights =
      layers * block_weights(c) + static_cast<double>(c.vocabulary * c.width) + vectors;
  const double cache = 2 * layers * static_cast<double>(c.width * (past + 1));
  return (weights + cache) * static_cast<double>(size_bytes(dtype));
}

}  // namespace tplab
