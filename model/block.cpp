#include "model/block.h"

#include <fmt/format.h>

#include "sim/ops.h"

namespace tplab {

namespace {
std::string module(int64_t layer, std::string_view part) {
  return fmt::format("transformer.h.{}.{}", layer, part);
}
}  // namespace

Block::Block(Loader& loader, int64_t layer)
    : norm_1_(loader, module(layer, "ln_1")),
      attention_(loader, module(layer, "attn")),
      norm_2_(loader, module(layer, "ln_2")),
      mlp_(loader, module(layer, "mlp")),
      layer_(layer) {}

Tensor<Invariant> Block::forward(Rank& rank, Tensor<Invariant> x, KvCache* cache) const {
  auto scope = rank.at(fmt::format("block {}", layer_));
  Tensor<Invariant> n = watch("ln_1", norm_1_.forward(x));
  x = watch("mid", add(attention_.forward(rank, n, cache, layer_), std::move(x)));
  n = watch("ln_2", norm_2_.forward(x));
  return watch("out", add(mlp_.forward(rank, n), std::move(x)));
}

}  // namespace tplab
