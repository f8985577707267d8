// Causal self-attention, split over the ranks by heads.
#pragma once

#include <string>

#include "model/kv_cache.h"
#include "model/loader.h"
#include "sim/tensor.h"

namespace tplab {

// y = concat_h(softmax(q_h k_hᵀ / √D) v_h) Pᵀ + p,  [q|k|v] = x Wᵀ + w.   1 all-reduce forward.
//   W: [3C/tp, C]  the rows of this rank's heads in each of Q, K and V      w: [3C/tp]
//   P: [C, C/tp]   (Megatron "row": splits INPUT features, the heads)       p: [C]
//   comm: a ring sends 2 (tp-1)/tp * B*T*C*sizeof(x) bytes a rank
//   source: Vaswani et al. 2017, section 3.2; Shoeybi et al. 2019, section 3
class Attention {
 public:
  Attention(Loader& loader, const std::string& name);  // "transformer.h.0.attn"

  // With a cache, x holds only the positions after the cached ones, and they are added to it.
  Tensor<Invariant> forward(Rank& rank, const Tensor<Invariant>& x, KvCache* cache,
                            int64_t layer) const;

 private:
  Tensor<Varying> qkv_, qkv_bias_;
  Tensor<Varying> proj_;
  Tensor<Invariant> proj_bias_;
  int64_t heads_local_, head_size_;
};

}  // namespace tplab
