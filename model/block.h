// One transformer block: attention and a perceptron, each added to the residual stream.
#pragma once

#include "model/attention.h"
#include "model/layer_norm.h"
#include "model/mlp.h"

namespace tplab {

// x = x + attn(ln_1(x));  x = x + mlp(ln_2(x)).
//   comm: TP: 2 all-reduces forward, 2 backward.  SP: 2 all-gathers and 2 reduce-scatters forward,
//   the same backward, and 2 all-gathers more if inputs are gathered again. A recomputation
//   repeats the forward's.
template <class Residual>
class Block {
 public:
  Block(Loader& loader, int64_t layer);

  struct Saved {
    Tensor<Residual> x, mid;  // the stream before the block, and after attention
    typename Attention<Residual>::Saved attention;
    typename Mlp<Residual>::Saved mlp;
  };

  // x: [B, T, C]   ->   [B, T, C]. Fills `saved` unless it is null; with pass.recompute only its x.
  Tensor<Residual> forward(Rank& rank, Tensor<Residual> x, const Pass& pass, Saved* saved) const;
  Grad<Residual> backward(Rank& rank, Grad<Residual> dy, const Pass& pass, Saved saved) const;

 private:
  LayerNorm<Residual> norm_1_;
  Attention<Residual> attention_;
  LayerNorm<Residual> norm_2_;
  Mlp<Residual> mlp_;
  int64_t layer_;
};

}  // namespace tplab
