#include "model/embedding.h"

#include <vector>

#include "sim/collectives.h"
#include "sim/ops.h"

namespace tplab {

Embedding::Embedding(Loader& loader)
    : wte_(loader.load<Varying>("transformer.wte.weight")),
      wpe_(loader.load<Invariant>("transformer.wpe.weight")),
      first_row_(loader.rank().index() * loader.plan().vocab_local()) {}

Tensor<Invariant> Embedding::forward(Rank& rank, const Tokens& tokens,
                                     int64_t first_position) const {
  auto scope = rank.at("embed");
  std::vector<int32_t> positions;  // [B, T]
  for (int64_t b = 0; b < tokens.batch; ++b)
    for (int64_t t = 0; t < tokens.length; ++t)
      positions.push_back(static_cast<int32_t>(first_position + t));

  Tensor<Partial> mine = embedding(tokens.ids, tokens.shape(), wte_, first_row_);  // [B, T, C]
  Tensor<Invariant> tok = watch("tok", leave(std::move(mine)));                    // [B, T, C]
  return watch("out", add(std::move(tok), embedding(positions, tokens.shape(), wpe_)));
}

}  // namespace tplab
