// One transformer block: its joins one after another, and what of them is computed again.
#pragma once

#include <vector>

#include "model/layers/join.h"

namespace tplab {

// GPT-2: x = x + attn(ln_1(x));  x = x + mlp(ln_2(x)).
//   comm: what its joins do. A recomputation repeats the forward's.
template <class Residual>
class Block {
 public:
  Block(Loader& loader, const std::vector<JoinSpec>& joins, int64_t layer);

  struct Saved {
    Tensor<Residual> x;  // the stream before the block, where the block is computed again
    std::vector<typename Join<Residual>::Saved> joins;
  };

  // x: [B, T, C]   ->   [B, T, C]. Fills `saved` unless it is null; with pass.recompute only its x.
  Tensor<Residual> forward(Rank& rank, Tensor<Residual> x, const Pass& pass, Saved* saved) const;
  Grad<Residual> backward(Rank& rank, Grad<Residual> dy, const Pass& pass, Saved saved) const;

 private:
  std::vector<Join<Residual>> joins_;
  int64_t layer_;
};

}  // namespace tplab
