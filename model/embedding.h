// Token and position embeddings; the vocabulary is split over the ranks.
#pragma once

#include "model/loader.h"
#include "model/tokens.h"
#include "sim/tensor.h"

namespace tplab {

// x = wte[token] + wpe[position].   1 all-reduce forward.
//   wte: [V/tp, C]  (vocab parallel: a rank has zeros for tokens that are not its own)
//   wpe: [block, C]
//   source: Shoeybi et al. 2019, section 3
class Embedding {
 public:
  explicit Embedding(Loader& loader);

  // tokens: [B, T] at positions first_position ..   ->   [B, T, C]
  Tensor<Invariant> forward(Rank& rank, const Tokens& tokens, int64_t first_position) const;
  const Tensor<Varying>& table() const { return wte_; }  // what a tied head reads

 private:
  Tensor<Varying> wte_;
  Tensor<Invariant> wpe_;
  int64_t first_row_;  // of this rank's part of the vocabulary
};

}  // namespace tplab
