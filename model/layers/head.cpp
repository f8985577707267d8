#include "model/layers/head.h"

#include <algorithm>
#include <utility>

#include "sim/collectives.h"
#include "sim/ops.h"

namespace tplab {

namespace {

VocabPart part_of(const ShardPlan& plan, int rank) {
  const int64_t first = rank * plan.vocab_local();
  return {first,
          std::clamp<int64_t>(plan.architecture().vocabulary - first, 0, plan.vocab_local())};
}

}  // namespace

template <class Residual>
Head<Residual>::Head(Loader& loader, const Embedding<Residual>& embedding)
    : table_(loader.plan().architecture().tied_head ? embedding.table()
                                                    : loader.load<Varying>(weight_of(Role::head))),
      part_(part_of(loader.plan(), loader.rank().index())),
      vocabulary_(loader.plan().architecture().vocabulary) {}

template <class Residual>
Tensor<Replicated> Head<Residual>::logits(Rank& rank, const Tensor<Residual>& x) const {
  auto scope = rank.at("head");
  Tensor<Varying> logits = matmul(S::read(x), table_.value);  // [B, T, V/tp]
  return show("logits", gather(logits, vocabulary_));         // [B, T, V]
}

template <class Residual>
void Head<Residual>::add_loss(Rank& rank, const Tensor<Residual>& x, const Targets& targets,
                              const Pass& pass, const Tensor<Invariant>& total,
                              Saved* saved) const {
  auto scope = rank.at("head");
  const Tensor<Replicated> in = S::read(x);                            // [B, T, C]
  CrossEntropy loss(matmul(in, table_.value), part_, targets, total);  // of [B, T, V/tp]
  if (saved) *saved = {{x, in, pass.regather}, std::move(loss)};
}

template <class Residual>
Grad<Residual> Head<Residual>::backward(Rank& rank, Saved saved) const {
  auto scope = rank.at("head");
  const Grad<Varying> dlogits = std::move(*saved.loss).backward(part_);  // [B, T, V/tp]
  return show("grad", S::read_backward(matmul_backward(dlogits, saved.input.read(), table_.value,
                                                       table_.grad)));  // [B, T, C]
}

template class Head<Invariant>;
template class Head<VaryingT>;

}  // namespace tplab
