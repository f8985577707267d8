// One transformer block: attention and a perceptron, each added to the residual stream.
#pragma once

#include "model/attention.h"
#include "model/layer_norm.h"
#include "model/mlp.h"

namespace tplab {

// x = x + attn(ln_1(x));  x = x + mlp(ln_2(x)).   2 all-reduces forward.
class Block {
 public:
  Block(Loader& loader, int64_t layer);

  // x: [B, T, C]   ->   [B, T, C]
  Tensor<Invariant> forward(Rank& rank, Tensor<Invariant> x, KvCache* cache) const;

 private:
  LayerNorm norm_1_;
  Attention attention_;
  LayerNorm norm_2_;
  Mlp mlp_;
  int64_t layer_;
};

}  // namespace tplab
