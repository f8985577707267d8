// The reference's backward pass: the forward's lines in the opposite order.
#include <fmt/format.h>

#include <type_traits>
#include <utility>

#include "sim/error.h"
#include "verify/reference/dense_backward.h"
#include "verify/reference/reference.h"
#include "verify/reference/reference_network.h"

namespace tplab {
namespace {

using namespace dense;

template <class Real>
Numbers<Real> branch_backward(const Context& context, const BranchSpec& spec, At at,
                              const BranchSteps<Real>& steps, const Numbers<Real>& dy,
                              const TakeGradient<Real>& take) {
  const auto run = [&](const auto& what) {
    using Spec = std::remove_cvref_t<decltype(what)>;
    if constexpr (std::is_same_v<Spec, AttentionSpec>)
      return attention_backward(context, what, at, steps.in,
                                std::get<AttentionSteps<Real>>(steps.what), dy, take);
    else if constexpr (std::is_same_v<Spec, MlpSpec>)
      return mlp_backward(context, what, at, steps.in, std::get<MlpSteps<Real>>(steps.what), dy,
                          take);
    else
      return experts_backward(context, what, at, steps.in, std::get<ExpertsSteps<Real>>(steps.what),
                              dy, take);
  };
  return std::visit(run, spec.what);
}

// Where a value was used twice, as the stream is by the branches and by the sum after them, its
// gradient is the sum of both.
template <class Real>
Numbers<Real> join_backward(const Context& context, const JoinSpec& spec, At at,
                            const JoinSteps<Real>& steps, const Numbers<Real>& dy,
                            const TakeGradient<Real>& take) {
  const int64_t C = context.width();
  const auto normed_backward = [&](const NormSpec& norm, NormPlace place, const Numbers<Real>& in,
                                   const Numbers<Real>& d) {
    const std::string name = context.names.norm(at.block, at.join, place, at.branch);
    const auto weights = load_norm<Real>(context, name, norm, C);
    auto gradients = norm_backward<Real>(norm_of(in, weights, norm, C), d);
    take(name + ".weight", std::move(gradients.weight));
    if (norm.bias) take(name + ".bias", std::move(gradients.bias));
    return std::move(gradients.x);
  };
  const Numbers<Real> dsum =
      spec.after ? normed_backward(*spec.after, NormPlace::after, steps.sum, dy) : dy;
  Numbers<Real> din;  // of what the branches read
  for (at.branch = spec.branches.size(); at.branch-- > 0;) {
    const BranchSpec& branch = spec.branches[at.branch];
    Numbers<Real> d = branch_backward(context, branch, at, steps.branches[at.branch], dsum, take);
    if (branch.before)
      d = normed_backward(*branch.before, NormPlace::branch, spec.before ? steps.before : steps.x,
                          d);
    din = din.empty() ? std::move(d) : stored(add<Real>(din, d));
  }
  at.branch = 0;
  if (spec.before) din = normed_backward(*spec.before, NormPlace::before, steps.x, din);
  return stored(add<Real>(dy, din));
}

// The gradients of the tables, given that of their rows' sum. A tied head's is the token table's
// too: it was used twice, and its gradients are added.
template <class Real>
void embed_backward(const Context& context, const TokenBatch& batch, Numbers<Real> dx,
                    const Numbers<Real>& of_tied_head, const TakeGradient<Real>& take) {
  const Architecture& a = context.architecture;
  const int64_t C = context.width();
  if (a.positions == PositionKind::learned)
    take(context.names.position_table(),
         embedding_backward<Real>(positions(batch.B, batch.T), a.context, C, dx));
  if (a.embedding_scale != 1)
    for (Real& value : dx) value *= Real(a.embedding_scale);
  auto table = embedding_backward<Real>(batch.tokens, a.vocabulary, C, dx);
  if (!of_tied_head.empty()) table = add<Real>(of_tied_head, table);
  take(context.names.token_table(), std::move(table));
}

}  // namespace

template <class Real>
ReferenceLoss Reference<Real>::backward(const TokenBatch& batch, const TakeGradient<Real>& take,
                                        const Visitor& visit) const {
  if (batch.targets.empty())
    fail("a batch without targets has no loss and no gradients", "give a target for each token");
  const Visitor none;
  const Context context{architecture_, weights_, Names(architecture_), batch.B, batch.T,
                        ranks_,        none};
  auto a = network_forward<Real>(context, batch, true);
  const int64_t B = batch.B, T = batch.T, C = architecture_.width, V = architecture_.vocabulary;

  const CrossEntropy<Real> loss{.logits = a.logits, .targets = batch.targets, .V = V};
  Numbers<Real> dx, of_tied_head;  // of the stream, [B, T, C], and of the table
  {
    Numbers<Real> dlogits = cross_entropy_backward(loss);
    if (architecture_.logits_softcap != 0)
      dlogits = stored(soft_cap_backward<Real>(a.logits, architecture_.logits_softcap, dlogits));
    auto d = linear_backward<Real>(linear_of(a.normed, a.head, head_of(context)), dlogits);
    a.head = {};
    if (architecture_.tied_head)
      of_tied_head = std::move(d.weight);
    else
      take(context.names.head(), std::move(d.weight));
    show(visit, "head/grad", {B, T, C}, d.x);
    const NormSpec& last = architecture_.final_norm;
    const auto weights = load_norm<Real>(context, context.names.final_norm(), last, C);
    auto normed = norm_backward<Real>(norm_of(a.x, weights, last, C), d.x);
    take(context.names.final_norm() + ".weight", std::move(normed.weight));
    if (last.bias) take(context.names.final_norm() + ".bias", std::move(normed.bias));
    dx = std::move(normed.x);
  }
  for (int64_t i = architecture_.layers() - 1; i >= 0; --i) {
    const auto& joins = architecture_.blocks[static_cast<size_t>(i)];
    BlockSteps<Real>& block = a.blocks.back();
    for (size_t j = joins.size(); j-- > 0;) {
      dx = join_backward(context, joins[j], {i, j, 0}, block[j], dx, take);
      block.pop_back();
    }
    a.blocks.pop_back();
    show(visit, fmt::format("block {}/grad", i), {B, T, C}, dx);
  }
  show(visit, "embed/grad", {B, T, C}, dx);
  embed_backward(context, batch, std::move(dx), of_tied_head, take);
  return {.loss = static_cast<double>(cross_entropy(loss)), .logits = doubles(a.logits)};
}

template <class Real>
ReferenceGradients Reference<Real>::backward(const TokenBatch& batch, const Visitor& visit) const {
  ReferenceGradients d;
  static_cast<ReferenceLoss&>(d) = backward(
      batch,
      [&](const std::string& name, std::vector<Real> gradient) {
        if constexpr (std::is_same_v<Real, double>)
          d.parameters[name] = std::move(gradient);
        else
          d.parameters[name] = doubles(gradient);
      },
      visit);
  return d;
}

// NOLINTBEGIN(bugprone-macro-parentheses): a type
#define TPLAB_INSTANTIATE(Real)                                                                  \
  template ReferenceLoss Reference<Real>::backward(const TokenBatch&, const TakeGradient<Real>&, \
                                                   const Visitor&) const;                        \
  template ReferenceGradients Reference<Real>::backward(const TokenBatch&, const Visitor&) const;
// NOLINTEND(bugprone-macro-parentheses)
TPLAB_FOR_EACH_REAL(TPLAB_INSTANTIATE)
#undef TPLAB_INSTANTIATE

}  // namespace tplab
