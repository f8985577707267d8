// The dense network's forward pass put together from dense layers: read it beside nanoGPT's
// model.py.
#include "verify/reference/reference_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <type_traits>

#include "sim/error.h"
#include "verify/reference/rough.h"

namespace tplab::dense {
namespace {

template <class Real>
Numbers<Real> branch_forward(const Context& context, const BranchSpec& spec, At at,
                             const std::string& site, BranchSteps<Real>& steps) {
  const auto run = [&](const auto& what) {
    using Spec = std::remove_cvref_t<decltype(what)>;
    if constexpr (std::is_same_v<Spec, AttentionSpec>)
      return attention(context, what, at, site, steps.in,
                       steps.what.template emplace<AttentionSteps<Real>>());
    else if constexpr (std::is_same_v<Spec, MlpSpec>)
      return mlp(context, what, at, site, steps.in, steps.what.template emplace<MlpSteps<Real>>());
    else
      return experts(context, what, at, site, steps.in,
                     steps.what.template emplace<ExpertsSteps<Real>>());
  };
  return std::visit(run, spec.what);
}

// x + after(sum of branches(before(x)))
template <class Real>
Numbers<Real> join_forward(const Context& context, const JoinSpec& spec, At at, bool last,
                           Numbers<Real> x, JoinSteps<Real>& steps) {
  const int64_t C = context.width();
  const Shape stream{context.B, context.T, C};
  const std::string block = fmt::format("block {}", at.block);
  const std::string norm_site = fmt::format("{}/ln_{}", block, at.join + 1);
  const std::string site = block + "/" + site_of(spec);
  const auto normed = [&](const NormSpec& norm_spec, NormPlace place, const Numbers<Real>& in) {
    const std::string name = context.names.norm(at.block, at.join, place, at.branch);
    return norm(norm_of(in, load_norm<Real>(context, name, norm_spec, C), norm_spec, C));
  };
  steps.x = std::move(x);
  if (spec.before) {
    steps.before = normed(*spec.before, NormPlace::before, steps.x);
    show(context.visit, norm_site, stream, steps.before);
  }
  steps.branches.resize(spec.branches.size());
  for (at.branch = 0; at.branch < spec.branches.size(); ++at.branch) {
    const BranchSpec& branch = spec.branches[at.branch];
    BranchSteps<Real>& kept = steps.branches[at.branch];
    kept.in = spec.before ? steps.before : steps.x;
    if (branch.before) {
      kept.in = normed(*branch.before, NormPlace::branch, kept.in);
      show(context.visit, fmt::format("{}_{}", norm_site, at.branch), stream, kept.in);
    }
    Numbers<Real> term = branch_forward(context, branch, at, site, kept);
    steps.sum = at.branch == 0 ? std::move(term) : stored(add<Real>(steps.sum, term));
  }
  show(context.visit, site + "/proj", stream, steps.sum);
  Numbers<Real> sum = steps.sum;
  if (spec.after) {
    sum = normed(*spec.after, NormPlace::after, steps.sum);
    show(context.visit, norm_site + "_after", stream, sum);
  }
  Numbers<Real> y = stored(add<Real>(steps.x, sum));
  show(context.visit, block + (last ? "/out" : "/mid"), stream, y);
  return y;
}

// x = scale token[tokens] + position[0 .. T)   ->   [B, T, C]
template <class Real>
Numbers<Real> embed(const Context& context, View<Real> table, const TokenBatch& batch) {
  const int64_t B = batch.B, T = batch.T, C = context.width();
  const Architecture& a = context.architecture;
  auto x = embedding<Real>({.table = table, .ids = batch.tokens, .C = C});  // [B, T, C]
  if (a.embedding_scale != 1) {
    for (Real& value : x) value *= Real(a.embedding_scale);
    x = stored(std::move(x));
  }
  show(context.visit, "embed/tok", {B, T, C}, x);
  if (a.positions == PositionKind::learned) {
    const auto learned = load<Real>(context, context.names.position_table(), a.context * C);
    auto pos = embedding<Real>({.table = learned, .ids = positions(B, T), .C = C});
    x = stored(add<Real>(x, pos));
    pos.resize(static_cast<size_t>(T * C));  // the same for each sequence
    show(context.visit, "embed/pos", {1, T, C}, pos);
  }
  show(context.visit, "embed/out", {B, T, C}, x);
  return x;
}

void check_ids(const std::vector<int>& ids, const char* what, int lowest, int64_t vocabulary) {
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < lowest || ids[i] >= vocabulary)
      fail(fmt::format("{} {} is {}, outside the vocabulary of {}", what, i, ids[i], vocabulary),
           fmt::format("use ids from {} to {}", lowest, vocabulary - 1));
}

template <class Real>
void append(Numbers<Real>& all, Numbers<Real> more) {
  if (all.empty())
    all = std::move(more);
  else
    all.insert(all.end(), more.begin(), more.end());
}

}  // namespace

int64_t Modules::outputs() const { return std::accumulate(out.begin(), out.end(), int64_t{0}); }

template <class Real>
Numbers<Real> load(const Context& context, const std::string& name, int64_t count) {
  std::vector<double> values = context.weights(name);
  if (static_cast<int64_t>(values.size()) != count)
    fail(fmt::format("{} holds {} numbers; the config says {}", name, values.size(), count),
         "use a config that belongs to these weights");
  if constexpr (std::is_same_v<Real, double>) {
    return values;
  } else {
    Numbers<Real> rounded(values.size());
    std::transform(values.begin(), values.end(), rounded.begin(), Real::loaded);
    return rounded;
  }
}

template <class Real>
Affine<Real> load(const Context& context, const Modules& modules) {
  Affine<Real> loaded;
  for (size_t i = 0; i < modules.names.size(); ++i) {
    const std::string& name = modules.names[i];
    const int64_t out = modules.outputs_of(i);
    append(loaded.weight, load<Real>(context, name + ".weight", modules.in * out));
    if (modules.bias) append(loaded.bias, load<Real>(context, name + ".bias", out));
  }
  return loaded;
}

template <class Real>
Affine<Real> load_norm(const Context& context, const std::string& name, const NormSpec& spec,
                       int64_t width) {
  Affine<Real> loaded{.weight = load<Real>(context, name + ".weight", width), .bias = {}};
  if (spec.bias) loaded.bias = load<Real>(context, name + ".bias", width);
  return loaded;
}

template <class Real>
void take_modules(const TakeGradient<Real>& take, const Modules& modules, Numbers<Real> weight,
                  Numbers<Real> bias) {
  if (modules.names.size() == 1) {
    take(modules.names[0] + ".weight", std::move(weight));
    if (modules.bias) take(modules.names[0] + ".bias", std::move(bias));
    return;
  }
  int64_t row = 0;
  for (size_t i = 0; i < modules.names.size(); ++i) {
    const int64_t end = row + modules.out[i];
    take(modules.names[i] + ".weight",
         {weight.begin() + row * modules.in, weight.begin() + end * modules.in});
    if (modules.bias) take(modules.names[i] + ".bias", {bias.begin() + row, bias.begin() + end});
    row = end;
  }
}

std::string site_of(const JoinSpec& spec) {
  std::string site;
  for (const BranchSpec& branch : spec.branches) {
    const char* name = std::holds_alternative<AttentionSpec>(branch.what) ? "attn"
                       : std::holds_alternative<MlpSpec>(branch.what)     ? "mlp"
                                                                          : "experts";
    site += fmt::format("{}{}", site.empty() ? "" : "+", name);
  }
  return site;
}

Modules head_of(const Context& context) {
  return {.names = {},
          .in = context.width(),
          .out = {context.architecture.vocabulary},
          .bias = false,
          .shares = {.of_out = context.ranks}};
}

std::vector<int> positions(int64_t B, int64_t T) {
  std::vector<int> ids;
  for (int64_t i = 0; i < B * T; ++i) ids.push_back(static_cast<int>(i % T));
  return ids;
}

void check_batch(const TokenBatch& batch, const Architecture& architecture) {
  const auto& [B, T, tokens, targets] = batch;
  if (B < 1 || T < 1 || T > architecture.context)
    fail(fmt::format("a batch of {} sequences of {} tokens", B, T),
         fmt::format("use at least 1 sequence of 1 to {} tokens", architecture.context));
  if (static_cast<int64_t>(tokens.size()) / T != B || static_cast<int64_t>(tokens.size()) % T != 0)
    fail(fmt::format("{} tokens for a batch of [{}, {}]", tokens.size(), B, T),
         "give B * T tokens");
  if (!targets.empty() && targets.size() != tokens.size())
    fail(fmt::format("{} targets for {} tokens", targets.size(), tokens.size()),
         "give a target for each token, or none");
  check_ids(tokens, "token", 0, architecture.vocabulary);
  check_ids(targets, "target", -1, architecture.vocabulary);
}

template <class Real>
NetworkSteps<Real> network_forward(const Context& context, const TokenBatch& batch,
                                   bool keep_blocks) {
  const Architecture& architecture = context.architecture;
  check_batch(batch, architecture);
  const int64_t B = batch.B, T = batch.T, C = architecture.width, V = architecture.vocabulary;
  NetworkSteps<Real> a;
  auto table = load<Real>(context, context.names.token_table(), V * C);
  a.x = embed<Real>(context, table, batch);  // [B, T, C]
  if (!architecture.tied_head) table = Numbers<Real>();
  for (int64_t i = 0; i < architecture.layers(); ++i) {
    const auto& joins = architecture.blocks[static_cast<size_t>(i)];
    BlockSteps<Real> block(joins.size());
    for (size_t j = 0; j < joins.size(); ++j)
      a.x = join_forward(context, joins[j], {i, j, 0}, j + 1 == joins.size(), std::move(a.x),
                         block[j]);
    if (keep_blocks) a.blocks.push_back(std::move(block));
  }
  const NormSpec& last = architecture.final_norm;
  a.normed =
      norm(norm_of(a.x, load_norm<Real>(context, context.names.final_norm(), last, C), last, C));
  show(context.visit, "ln_f", {B, T, C}, a.normed);
  a.head.weight =
      architecture.tied_head ? std::move(table) : load<Real>(context, context.names.head(), V * C);
  a.logits = linear(linear_of(a.normed, a.head, head_of(context)));  // [B, T, V]
  if (architecture.logits_softcap != 0)
    a.logits = stored(soft_cap<Real>(a.logits, architecture.logits_softcap));
  show(context.visit, "head/logits", {B, T, V}, a.logits);
  return a;
}

// NOLINTBEGIN(bugprone-macro-parentheses): a type
#define TPLAB_INSTANTIATE(Real)                                                                  \
  template Numbers<Real> load(const Context&, const std::string&, int64_t);                      \
  template Affine<Real> load(const Context&, const Modules&);                                    \
  template Affine<Real> load_norm(const Context&, const std::string&, const NormSpec&, int64_t); \
  template void take_modules(const TakeGradient<Real>&, const Modules&, Numbers<Real>,           \
                             Numbers<Real>);                                                     \
  template NetworkSteps<Real> network_forward(const Context&, const TokenBatch&, bool);
// NOLINTEND(bugprone-macro-parentheses)
TPLAB_FOR_EACH_REAL(TPLAB_INSTANTIATE)
#undef TPLAB_INSTANTIATE

}  // namespace tplab::dense
