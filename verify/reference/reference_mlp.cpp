// The reference's MLPs, one by one and as experts, forward and backward.
#include <algorithm>
#include <numeric>
#include <utility>

#include "verify/reference/dense_backward.h"
#include "verify/reference/reference_network.h"
#include "verify/reference/rough.h"

namespace tplab::dense {
namespace {

bool is_gated(const MlpSpec& spec) { return spec.gating.kind != Gating::Kind::none; }

template <class Real>
Gated<Real> gated_of(const MlpSpec& spec, const Numbers<Real>& up) {
  return {.x = up, .F = spec.width, .kind = spec.activation, .gating = spec.gating};
}

template <class Real>
Numbers<Real> act(const MlpSpec& spec, const Numbers<Real>& up) {
  return is_gated(spec) ? gated(gated_of(spec, up)) : activation<Real>(up, spec.activation);
}

template <class Real>
Numbers<Real> act_backward(const MlpSpec& spec, const Numbers<Real>& up, const Numbers<Real>& da) {
  return is_gated(spec) ? gated_backward<Real>(gated_of(spec, up), da)
                        : activation_backward<Real>(up, spec.activation, da);
}

const char* act_name(const MlpSpec& spec) {
  const bool gelu =
      spec.activation == ActivationKind::gelu || spec.activation == ActivationKind::gelu_tanh;
  return gelu && !is_gated(spec) ? "/gelu" : "/act";
}

// --- Experts.

// The softmax of the chosen logits, in a row's order of experts; without renormalising, of all.
template <class Real>
Numbers<Real> shares_of(const ExpertsSpec& spec, const Real* logits,
                        const std::vector<int64_t>& chosen) {
  const bool of_chosen = spec.routing.softmax_over_chosen || spec.routing.renormalise;
  Numbers<Real> all(logits, logits + spec.count), picked;
  for (const int64_t e : chosen) picked.push_back(logits[e]);
  if (of_chosen) return softmax<Real>({.x = picked, .width = static_cast<int64_t>(picked.size())});
  all = softmax<Real>({.x = all, .width = spec.count});
  for (size_t i = 0; i < chosen.size(); ++i) picked[i] = all[static_cast<size_t>(chosen[i])];
  return picked;
}

// Adds to the gradient of the logits of a row, [count].
template <class Real>
void shares_backward(const ExpertsSpec& spec, const Real* logits,
                     const std::vector<int64_t>& chosen, const Numbers<Real>& dshares,
                     Real* dlogits) {
  const bool of_chosen = spec.routing.softmax_over_chosen || spec.routing.renormalise;
  Numbers<Real> scores, dy;
  for (int64_t e = 0; e < spec.count; ++e) {
    const auto at = std::find(chosen.begin(), chosen.end(), e);
    if (at == chosen.end() && of_chosen) continue;
    scores.push_back(logits[e]);
    dy.push_back(at == chosen.end() ? Real(0) : dshares[static_cast<size_t>(at - chosen.begin())]);
  }
  const auto d =
      softmax_backward<Real>({.x = scores, .width = static_cast<int64_t>(scores.size())}, dy);
  size_t i = 0;
  for (int64_t e = 0; e < spec.count; ++e)
    if (!of_chosen || std::find(chosen.begin(), chosen.end(), e) != chosen.end())
      dlogits[e] = d.x[i++];
}

// The largest logits, the lower index first among equals; then by index.
template <class Real>
std::vector<int64_t> choose(const ExpertsSpec& spec, const Real* logits) {
  std::vector<int64_t> order(static_cast<size_t>(spec.count));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return logits[a] > logits[b]; });
  order.resize(static_cast<size_t>(spec.active));
  std::sort(order.begin(), order.end());
  return order;
}

Modules router_of(const Context& context, const ExpertsSpec& spec, At at) {
  return {.names = {context.names.in_block(at.block, "router")},
          .in = context.width(),
          .out = {spec.count},
          .bias = spec.routing.bias,
          .shares = {}};
}

// The biases of all experts' last layers: [C, count].
template <class Real>
Numbers<Real> down_biases(const Context& context, const ExpertsSpec& spec, At at) {
  if (!spec.each.bias) return {};
  return load<Real>(context, context.names.in_block(at.block, "down") + ".bias",
                    context.width() * spec.count);
}

// Where an expert is used: rows of x, and the place of its share in theirs.
struct Use {
  int64_t row;
  size_t share;
};
std::vector<Use> uses_of(const std::vector<std::vector<int64_t>>& chosen, int64_t expert) {
  std::vector<Use> uses;
  for (size_t n = 0; n < chosen.size(); ++n)
    for (size_t i = 0; i < chosen[n].size(); ++i)
      if (chosen[n][i] == expert)
        uses.push_back({static_cast<int64_t>(n), n * chosen[n].size() + i});
  return uses;
}

template <class Real>
Numbers<Real> rows_of(const Numbers<Real>& x, const std::vector<Use>& uses, int64_t C) {
  Numbers<Real> rows;
  for (const Use& use : uses)
    rows.insert(rows.end(), x.begin() + use.row * C, x.begin() + (use.row + 1) * C);
  return rows;
}

}  // namespace

Modules up_of(const Context& context, const MlpSpec& spec, At at, int64_t expert) {
  const bool two = is_gated(spec);
  return {.names = context.names.up(at.block, spec, expert),
          .in = context.width(),
          .out = two ? std::vector{spec.width, spec.width} : std::vector{spec.width},
          .bias = spec.bias,
          .shares = {.of_out = context.ranks, .groups_out = two ? 2 : 1}};
}

Modules down_of(const Context& context, const MlpSpec& spec, At at, int64_t expert) {
  return {.names = {context.names.in_block(at.block, "down", expert)},
          .in = spec.width,
          .out = {context.width()},
          .bias = spec.bias && expert == Names::kNone,
          .shares = {.of_in = context.ranks}};
}

template <class Real>
Numbers<Real> mlp(const Context& context, const MlpSpec& spec, At at, const std::string& site,
                  const Numbers<Real>& x, MlpSteps<Real>& steps) {
  const Modules up = up_of(context, spec, at), down = down_of(context, spec, at);
  steps.up = linear(linear_of(x, load<Real>(context, up), up));
  steps.act = act(spec, steps.up);
  show(context.visit, site + "/fc", {context.B, context.T, up.outputs()}, steps.up);
  show(context.visit, site + act_name(spec), {context.B, context.T, spec.width}, steps.act);
  return linear(linear_of(steps.act, load<Real>(context, down), down));
}

template <class Real>
Numbers<Real> mlp_backward(const Context& context, const MlpSpec& spec, At at,
                           const Numbers<Real>& x, const MlpSteps<Real>& steps,
                           const Numbers<Real>& dy, const TakeGradient<Real>& take) {
  const Modules up = up_of(context, spec, at), down = down_of(context, spec, at);
  auto proj = linear_backward<Real>(linear_of(steps.act, load<Real>(context, down), down), dy);
  take_modules(take, down, std::move(proj.weight), std::move(proj.bias));
  const auto dup = act_backward(spec, steps.up, proj.x);
  auto d = linear_backward<Real>(linear_of(x, load<Real>(context, up), up), dup);
  take_modules(take, up, std::move(d.weight), std::move(d.bias));
  return std::move(d.x);
}

template <class Real>
Numbers<Real> experts(const Context& context, const ExpertsSpec& spec, At at,
                      const std::string& site, const Numbers<Real>& x, ExpertsSteps<Real>& steps) {
  const int64_t N = context.B * context.T, C = context.width();
  const Modules router = router_of(context, spec, at);
  steps.logits = linear(linear_of(x, load<Real>(context, router), router));
  show(context.visit, site + "/router", {context.B, context.T, spec.count}, steps.logits);
  for (int64_t n = 0; n < N; ++n) {
    const Real* logits = steps.logits.data() + n * spec.count;
    steps.chosen.push_back(choose(spec, logits));
    const Numbers<Real> shares = shares_of(spec, logits, steps.chosen.back());
    steps.shares.insert(steps.shares.end(), shares.begin(), shares.end());
  }
  const Numbers<Real> biases = down_biases<Real>(context, spec, at);
  Numbers<Real> y(static_cast<size_t>(N * C));
  for (int64_t e = 0; e < spec.count; ++e) {
    const std::vector<Use> uses = uses_of(steps.chosen, e);
    if (uses.empty()) continue;
    const Numbers<Real> rows = rows_of(x, uses, C);
    const Modules up = up_of(context, spec.each, at, e), down = down_of(context, spec.each, at, e);
    const auto a = act(spec.each, linear(linear_of(rows, load<Real>(context, up), up)));
    const auto out = linear(linear_of(a, load<Real>(context, down), down));
    for (size_t i = 0; i < uses.size(); ++i)
      for (int64_t c = 0; c < C; ++c) {
        Real value = out.data()[static_cast<int64_t>(i) * C + c];
        if (spec.each.bias) value += biases.data()[c * spec.count + e];
        y.data()[uses[i].row * C + c] += steps.shares[uses[i].share] * value;
      }
  }
  return stored(std::move(y));
}

template <class Real>
Numbers<Real> experts_backward(const Context& context, const ExpertsSpec& spec, At at,
                               const Numbers<Real>& x, const ExpertsSteps<Real>& steps,
                               const Numbers<Real>& dy, const TakeGradient<Real>& take) {
  const int64_t N = context.B * context.T, C = context.width();
  const Numbers<Real> biases = down_biases<Real>(context, spec, at);
  Numbers<Real> dx(x.size()), dshares(steps.shares.size()), dbiases(biases.size());
  for (int64_t e = 0; e < spec.count; ++e) {
    const Modules up = up_of(context, spec.each, at, e), down = down_of(context, spec.each, at, e);
    const std::vector<Use> uses = uses_of(steps.chosen, e);
    const Numbers<Real> rows = rows_of(x, uses, C);
    const Affine<Real> up_weights = load<Real>(context, up);
    const Affine<Real> down_weights = load<Real>(context, down);
    const auto h = linear(linear_of(rows, up_weights, up));
    const auto a = act(spec.each, h);
    const auto out = linear(linear_of(a, down_weights, down));
    Numbers<Real> dout = rows_of(dy, uses, C);
    for (size_t i = 0; i < uses.size(); ++i) {
      const Real share = steps.shares[uses[i].share];
      for (int64_t c = 0; c < C; ++c) {
        Real& d = dout.data()[static_cast<int64_t>(i) * C + c];
        Real value = out.data()[static_cast<int64_t>(i) * C + c];
        if (spec.each.bias) {
          value += biases.data()[c * spec.count + e];
          dbiases.data()[c * spec.count + e] += d * share;
        }
        dshares[uses[i].share] += d * value;
        d *= share;
      }
    }
    auto proj = linear_backward<Real>(linear_of(a, down_weights, down), dout);
    take_modules(take, down, std::move(proj.weight), {});
    auto d =
        linear_backward<Real>(linear_of(rows, up_weights, up), act_backward(spec.each, h, proj.x));
    take_modules(take, up, std::move(d.weight), std::move(d.bias));
    for (size_t i = 0; i < uses.size(); ++i)
      for (int64_t c = 0; c < C; ++c)
        dx.data()[uses[i].row * C + c] += d.x.data()[static_cast<int64_t>(i) * C + c];
  }
  if (spec.each.bias) take(context.names.in_block(at.block, "down") + ".bias", std::move(dbiases));

  Numbers<Real> dlogits(steps.logits.size());
  for (int64_t n = 0; n < N; ++n) {
    const auto first = dshares.begin() + n * spec.active;
    shares_backward<Real>(spec, steps.logits.data() + n * spec.count,
                          steps.chosen[static_cast<size_t>(n)], {first, first + spec.active},
                          dlogits.data() + n * spec.count);
  }
  const Modules router = router_of(context, spec, at);
  auto d = linear_backward<Real>(linear_of(x, load<Real>(context, router), router), dlogits);
  take_modules(take, router, std::move(d.weight), std::move(d.bias));
  return stored(add<Real>(dx, d.x));
}

// NOLINTBEGIN(bugprone-macro-parentheses): a type
#define TPLAB_INSTANTIATE(Real)                                                                 \
  template Numbers<Real> mlp(const Context&, const MlpSpec&, At, const std::string&,            \
                             const Numbers<Real>&, MlpSteps<Real>&);                            \
  template Numbers<Real> mlp_backward(const Context&, const MlpSpec&, At, const Numbers<Real>&, \
                                      const MlpSteps<Real>&, const Numbers<Real>&,              \
                                      const TakeGradient<Real>&);                               \
  template Numbers<Real> experts(const Context&, const ExpertsSpec&, At, const std::string&,    \
                                 const Numbers<Real>&, ExpertsSteps<Real>&);                    \
  template Numbers<Real> experts_backward(const Context&, const ExpertsSpec&, At,               \
                                          const Numbers<Real>&, const ExpertsSteps<Real>&,      \
                                          const Numbers<Real>&, const TakeGradient<Real>&);
// NOLINTEND(bugprone-macro-parentheses)
TPLAB_FOR_EACH_REAL(TPLAB_INSTANTIATE)
#undef TPLAB_INSTANTIATE

}  // namespace tplab::dense
