// The two-layer perceptron of a block, split over the ranks by its hidden features.
#pragma once

#include <string>

#include "model/loader.h"
#include "sim/tensor.h"

namespace tplab {

// y = gelu(x Aᵀ + a) Bᵀ + b.   1 all-reduce forward.
//   A: [F/tp, C]  (Megatron "column": splits OUTPUT features)   a: [F/tp]
//   B: [C, F/tp]  (Megatron "row": splits INPUT features)       b: [C], added once, after the sum
//   comm: a ring sends 2 (tp-1)/tp * B*T*C*sizeof(x) bytes a rank
//   source: Shoeybi et al. 2019, section 3
class Mlp {
 public:
  Mlp(Loader& loader, const std::string& name);  // "transformer.h.0.mlp"

  Tensor<Invariant> forward(Rank& rank, const Tensor<Invariant>& x) const;

 private:
  Tensor<Varying> up_, up_bias_;
  Tensor<Varying> down_;
  Tensor<Invariant> down_bias_;
  Gelu gelu_;
};

}  // namespace tplab
