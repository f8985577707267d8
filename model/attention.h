// Causal self-attention, split over the ranks by heads.
#pragma once

#include "model/kv_cache.h"
#include "model/loader.h"
#include "model/pass.h"
#include "sim/ops.h"

namespace tplab {

// y = dropout(concat_h(dropout(softmax(q_h k_hᵀ / √D)) v_h) Pᵀ + p),  [q|k|v] = x Wᵀ + w.
//   W: [3C/tp, C]  the rows of this rank's heads in each of Q, K and V      w: [3C/tp]
//                  (3 D times its heads, where ranks have unequal numbers of them)
//   P: [C, C/tp]   (Megatron "row": splits INPUT features, the heads)       p: [C]
//   comm: as Mlp's
//   source: Vaswani et al. 2017, section 3.2; Shoeybi et al. 2019, section 3
template <class Residual>
class Attention {
  using S = Stream<Residual>;

 public:
  Attention(Loader& loader, Place at);

  struct Saved {
    SavedInput<Residual> input;
    Tensor<Varying> qkv;
    Attended<Varying> attended;
  };

  // x: [B, T, C]   ->   [B, T, C]. With a cache, x holds only the positions after the cached ones,
  // and they are added to it. Fills `saved` unless it is null.
  Tensor<Residual> forward(Rank& rank, const Tensor<Residual>& x, const Pass& pass,
                           Saved* saved) const;
  Grad<Residual> backward(Rank& rank, const Grad<Residual>& dy, const Pass& pass,
                          const Saved& saved) const;

 private:
  Parameter<Varying> qkv_, qkv_bias_;
  Parameter<Varying> proj_;
  SmallParameter<Residual> proj_bias_;
  Range heads_;  // this rank's, of the model's
  int64_t whole_heads_, block_;
};

}  // namespace tplab
