// The two-layer perceptron of a block, split over the ranks by its hidden features.
#pragma once

#include "model/layers/loader.h"
#include "model/layers/pass.h"

namespace tplab {

// y = act(x Aᵀ + a) Bᵀ, one term of a sum over the ranks.
//   A: [F/tp, C]  (Megatron "column": splits OUTPUT features)   a: [F/tp]
//   B: [C, F/tp]  (Megatron "row": splits INPUT features)
//   comm: none
//   source: Shoeybi et al. 2019, section 3
class Mlp {
 public:
  Mlp(Loader& loader, const MlpSpec& spec, Place at);

  struct Saved {
    Tensor<Varying> h, a;  // before and after the activation
  };

  // x: [B, T, C]   ->   [B, T, C]
  Tensor<Partial> forward(const Tensor<Replicated>& x, const Pass& pass, Saved* saved) const;
  Grad<Replicated> backward(const Grad<Partial>& dy, const Tensor<Replicated>& x, const Pass& pass,
                            const Saved& saved) const;

 private:
  Parameter<Varying> up_, up_bias_;
  Parameter<Varying> down_;
  ActivationKind act_;
};

}  // namespace tplab
