// Causal self-attention, split over the ranks by heads.
#pragma once

#include "model/layers/kv_cache.h"
#include "model/layers/loader.h"
#include "model/layers/pass.h"
#include "sim/ops.h"

namespace tplab {

// y = concat_h(dropout(softmax(q_h k_hᵀ / √D)) v_h) Pᵀ, one term of a sum;  [q|k|v] = x Wᵀ + w.
//   W: [3C/tp, C]  the rows of this rank's heads in each of Q, K and V      w: [3C/tp]
//                  (3 D times its heads, where ranks have unequal numbers of them)
//   P: [C, C/tp]   (Megatron "row": splits INPUT features, the heads)
//   comm: none
//   source: Vaswani et al. 2017, section 3.2; Shoeybi et al. 2019, section 3
class Attention {
 public:
  Attention(Loader& loader, const AttentionSpec& spec, Place at);

  struct Saved {
    Tensor<Varying> qkv;
    Attended<Varying> attended;
  };

  // x: [B, T, C]   ->   [B, T, C]. With a cache, x holds only the positions after the cached ones,
  // and they are added to it.
  Tensor<Partial> forward(const Tensor<Replicated>& x, const Pass& pass, Saved* saved) const;
  Grad<Replicated> backward(const Grad<Partial>& dy, const Tensor<Replicated>& x, const Pass& pass,
                            const Saved& saved) const;

 private:
  AttentionForm form(const Pass& pass, int64_t length) const;

  Parameter<Varying> qkv_, qkv_bias_;
  Parameter<Varying> out_;
  AttentionSpec spec_;  // of the whole model
  Range heads_;         // this rank's, of the model's
  Place at_;
};

}  // namespace tplab
