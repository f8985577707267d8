// The reference's forward pass and greedy decoding, as the rest of the verifier sees them.
#include "verify/reference/reference.h"

#include <algorithm>
#include <utility>

#include "sim/error.h"
#include "verify/reference/dense.h"
#include "verify/reference/reference_network.h"

namespace tplab {

template <class Real>
Reference<Real>::Reference(const Architecture& architecture, Weights weights, int64_t ranks)
    : architecture_(architecture), weights_(std::move(weights)), ranks_(ranks) {}

template <class Real>
ReferenceOutput Reference<Real>::forward(const TokenBatch& batch, const Visitor& visit) const {
  const dense::Context context{
      architecture_, weights_, dense::Names(architecture_), batch.B, batch.T, ranks_, visit};
  const auto a = dense::network_forward<Real>(context, batch, false);
  const int64_t V = architecture_.vocabulary;
  ReferenceOutput out{
      .shape = {batch.B, batch.T, V}, .logits = dense::doubles<Real>(a.logits), .loss = {}};
  if (!batch.targets.empty())
    out.loss = static_cast<double>(
        dense::cross_entropy<Real>({.logits = a.logits, .targets = batch.targets, .V = V}));
  return out;
}

template <class Real>
std::vector<int> Reference<Real>::greedy(const std::vector<int>& prompt, int64_t n_new) const {
  if (prompt.empty()) fail("the prompt has no tokens", "begin with at least one");
  std::vector<int> tokens = prompt;
  for (int64_t n = 0; n < n_new; ++n) {
    const auto T = std::min(static_cast<int64_t>(tokens.size()), architecture_.context);
    const ReferenceOutput out =
        forward({.B = 1, .T = T, .tokens = {tokens.end() - T, tokens.end()}});
    const auto last = out.logits.end() - architecture_.vocabulary;
    tokens.push_back(static_cast<int>(std::max_element(last, out.logits.end()) - last));
  }
  return tokens;
}

template class Reference<double>;
template class Reference<Rough<DType::f32>>;
template class Reference<Rough<DType::f64>>;
template class Reference<Rough<DType::bf16>>;

}  // namespace tplab
