// The two-layer perceptron of a block, split over the ranks by its hidden features.
#pragma once

#include "model/loader.h"
#include "model/pass.h"

namespace tplab {

// y = dropout(gelu(x Aᵀ + a) Bᵀ + b).
//   A: [F/tp, C]  (Megatron "column": splits OUTPUT features)   a: [F/tp]
//   B: [C, F/tp]  (Megatron "row": splits INPUT features)       b: [C], added once, after the sum
//   comm: TP: 1 all-reduce forward, 1 backward; a ring sends 2 (tp-1)/tp * B*T*C*sizeof(x) bytes
//         SP: 1 all-gather and 1 reduce-scatter forward, the same backward: as many bytes
//         (+ 1 all-gather backward if inputs are gathered again)
//   source: Shoeybi et al. 2019, section 3; Korthikanti et al. 2022, section 4.2.2
template <class Residual>
class Mlp {
  using S = Stream<Residual>;

 public:
  Mlp(Loader& loader, Place at);

  struct Saved {
    SavedInput<Residual> input;
    Tensor<Varying> h, a;  // before and after gelu
  };

  // x: [B, T, C]   ->   [B, T, C]. Fills `saved` unless it is null.
  Tensor<Residual> forward(Rank& rank, const Tensor<Residual>& x, const Pass& pass,
                           Saved* saved) const;
  Grad<Residual> backward(Rank& rank, const Grad<Residual>& dy, const Pass& pass,
                          const Saved& saved) const;

 private:
  Parameter<Varying> up_, up_bias_;
  Parameter<Varying> down_;
  SmallParameter<Residual> down_bias_;
  Gelu gelu_;
};

}  // namespace tplab
