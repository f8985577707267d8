#include "model/layers/loss.h"

#include <utility>

namespace tplab {

CrossEntropy::CrossEntropy(Tensor<Varying> logits, const VocabPart& part, const Targets& target_ids,
                           const Tensor<Invariant>& total)
    : targets(target_ids) {
  auto scope = logits.rank().at("loss");
  const Tensor<Invariant> largest = max_over_ranks(row_max(logits, part.cols));  // [B, T], as all
  const Tensor<Invariant> wanted = leave(pick(logits, part.cols, targets.ids, part.first));
  sums = leave(exp_rows(logits, part.cols, largest));
  exps = std::move(logits);
  add_losses(total, largest, wanted, sums, targets.ids, targets.weight);
}

Grad<Varying> CrossEntropy::backward(const VocabPart& part) && {
  return softmax_minus_onehot(std::move(exps), part.cols, sums, targets.ids, part.first,
                              targets.weight);
}

}  // namespace tplab
