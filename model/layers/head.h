// From the stream to the vocabulary, which is split over the ranks; tied to the embedding or not.
#pragma once

#include <optional>

#include "model/layers/embedding.h"
#include "model/layers/loss.h"

namespace tplab {

// logits = x Hᵀ.   H: [V/tp, C]  (vocab parallel: the rows of this rank's part)
//   comm, TP: 1 all-gather of the logits, or 3 all-reduces of [B, T] for the loss; backward 1
//         all-reduce of [B, T, C];  SP: 1 all-gather more before, and a reduce-scatter backward
//   source: Shoeybi et al. 2019, section 3
template <class Residual>
class Head {
  using S = Stream<Residual>;

 public:
  Head(Loader& loader, const Embedding<Residual>& embedding);

  // x: [B, T, C]   ->   [B, T, V], the same on every rank
  Tensor<Replicated> logits(Rank& rank, const Tensor<Residual>& x) const;

  struct Saved {
    SavedInput<Residual> input;
    std::optional<CrossEntropy> loss;
  };

  // total += the loss, the same on every rank; the logits are never gathered. Fills `saved` unless
  // it is null.   total: [1], f64
  void add_loss(Rank& rank, const Tensor<Residual>& x, const Targets& targets, const Pass& pass,
                const Tensor<Invariant>& total, Saved* saved) const;
  Grad<Residual> backward(Rank& rank, Saved saved) const;

 private:
  Parameter<Varying> table_;
  VocabPart part_;
  int64_t vocabulary_;
};

}  // namespace tplab
