// Token and position embeddings; the vocabulary is split over the ranks.
#pragma once

#include <cstdint>
#include <vector>

#include "model/layers/loader.h"
#include "model/layers/pass.h"
#include "model/tokens.h"

namespace tplab {

// x = dropout(wte[token] + wpe[position]).
//   wte: [V/tp, C]  (vocab parallel: a rank has zeros for tokens that are not its own)
//   wpe: [context, C]
//   comm: 1 all-reduce forward; under SP the sum is then split, and backward is 1 all-gather
//   source: Shoeybi et al. 2019, section 3; Megatron adds positions before it splits
template <class Residual>
class Embedding {
  using S = Stream<Residual>;

 public:
  explicit Embedding(Loader& loader);

  struct Saved {
    Tensor<Invariant> tokens, positions;  // [B, T], ids
  };

  // tokens: [B, T] at positions first_position ..   ->   [B, T, C]. Fills `saved` unless it is
  // null.
  Tensor<Residual> forward(Rank& rank, const Tokens& tokens, int64_t first_position,
                           const Pass& pass, Saved* saved) const;
  void backward(Rank& rank, Grad<Residual> dy, const Saved& saved, const Pass& pass) const;

  const Parameter<Varying>& table() const { return wte_; }  // what a tied head reads

 private:
  Parameter<Varying> wte_;
  Parameter<Invariant> wpe_;
  int64_t first_row_;  // of this rank's part of the vocabulary
};

}  // namespace tplab
