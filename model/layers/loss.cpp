#include "model/layers/loss.h"

#include <cmath>
#include <vector>

namespace tplab {

namespace {

std::vector<double> host(const Tensor<Invariant>& x) {
  std::vector<double> values(static_cast<size_t>(x.array().count()));
  to_host(x, values);
  return values;
}

}  // namespace

CrossEntropy::CrossEntropy(Tensor<Varying> logits, const VocabPart& part, const Targets& targets) {
  auto scope = logits.rank().at("loss");
  const Tensor<Invariant> largest = max_over_ranks(row_max(logits, part.cols));
  const Tensor<Invariant> wanted = leave(pick(logits, part.cols, targets.ids, part.first));
  sums = leave(exp_rows(logits, part.cols, largest));
  exps = std::move(logits);

  const std::vector<double> m = host(largest), l = host(wanted), s = host(sums);
  for (size_t i = 0; i < targets.ids.size(); ++i)
    if (targets.ids[i] >= 0) loss += std::log(s[i]) + (m[i] - l[i]);
  loss *= targets.weight;
}

Grad<Varying> CrossEntropy::backward(const VocabPart& part, const Targets& targets) && {
  return softmax_minus_onehot(std::move(exps), part.cols, sums, targets.ids, part.first,
                              targets.weight);
}

}  // namespace tplab
