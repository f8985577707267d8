// The reference's attention, forward and backward.
#include <array>
#include <type_traits>
#include <utility>

#include "verify/reference/dense_backward.h"
#include "verify/reference/dense_product.h"
#include "verify/reference/reference_network.h"
#include "verify/reference/rough.h"

namespace tplab::dense {
namespace {

// Heads of q or of k: which columns of qkv, and what their norm is called.
struct Part {
  const char* norm;
  int64_t first, heads;
};

struct Sizes {
  int64_t B, T, H, K, D;
  Sizes(const Context& c, const AttentionSpec& spec)
      : B(c.B), T(c.T), H(spec.heads), K(spec.kv_heads), D(spec.head_size) {}

  int64_t columns() const { return (H + 2 * K) * D; }
  Part q() const { return {"q_norm", 0, H}; }
  Part k() const { return {"k_norm", H * D, K}; }
};

// Columns of qkv as heads; as one head, where a norm is over all of them.
template <class Real>
SplitHeads<Real> columns(const Sizes& s, const Part& part, const AttentionSpec& spec,
                         View<Real> qkv) {
  const bool full = spec.qk_norm && spec.qk_norm->full_width;
  return {.x = qkv,
          .B = s.B,
          .T = s.T,
          .width = s.columns(),
          .first = part.first,
          .H = full ? 1 : part.heads,
          .D = full ? part.heads * s.D : s.D};
}

// q and k, from columns of qkv to what scores read, and back.
template <class Real>
class Heads {
 public:
  Heads(const Context& context, const AttentionSpec& spec, At at, Part part)
      : spec_(spec), sizes_(context, spec), part_(part) {
    if (!spec.qk_norm) return;
    const int64_t width = sizes_.D * (spec.qk_norm->full_width ? part.heads : 1);
    name_ = context.names.in_block(at.block, part.norm);
    norm_ = load_norm<Real>(context, name_, spec.qk_norm->norm, width);
    width_ = width;
  }

  HeadsSteps<Real> forward(const Numbers<Real>& qkv) const {
    HeadsSteps<Real> steps;
    steps.turned = split_heads(columns<Real>(sizes_, part_, spec_, qkv));
    if (spec_.qk_norm) {
      steps.raw = std::move(steps.turned);
      steps.turned = norm(norm_of(steps.raw, norm_, spec_.qk_norm->norm, width_));
      if (spec_.qk_norm->full_width) steps.turned = split_heads(apart(steps.turned));
    }
    if (spec_.rope) steps.turned = turn<Real>(steps.turned, angles());
    return steps;
  }

  // d: of what scores read   ->   of qkv, zero in the other columns
  Numbers<Real> backward(const HeadsSteps<Real>& steps, Numbers<Real> d,
                         const TakeGradient<Real>& take) const {
    if (spec_.rope) d = turn_backward<Real>(d, angles());
    if (spec_.qk_norm) {
      if (spec_.qk_norm->full_width) d = split_heads_backward<Real>(apart({}), d);
      auto normed = norm_backward<Real>(norm_of(steps.raw, norm_, spec_.qk_norm->norm, width_), d);
      take(name_ + ".weight", std::move(normed.weight));
      d = std::move(normed.x);
    }
    return split_heads_backward<Real>(columns<Real>(sizes_, part_, spec_, {}), d);
  }

 private:
  Turn angles() const { return {sizes_.T, sizes_.D, *spec_.rope}; }
  SplitHeads<Real> apart(View<Real> x) const {  // of what was normed as one
    return {.x = x,
            .B = sizes_.B,
            .T = sizes_.T,
            .width = width_,
            .first = 0,
            .H = part_.heads,
            .D = sizes_.D};
  }

  const AttentionSpec& spec_;
  Sizes sizes_;
  Part part_;
  std::string name_;
  Affine<Real> norm_;
  int64_t width_ = 0;
};

template <class Real>
SplitHeads<Real> values_of(const Sizes& s, View<Real> qkv) {
  return {.x = qkv,
          .B = s.B,
          .T = s.T,
          .width = s.columns(),
          .first = (s.H + s.K) * s.D,
          .H = s.K,
          .D = s.D};
}

template <class Real>
Scores<Real> scores_of(const Sizes& s, const AttentionSpec& spec,
                       const AttentionSteps<Real>& steps) {
  return {.q = steps.q.turned,
          .k = steps.k.turned,
          .B = s.B,
          .H = s.H,
          .K = s.K,
          .T = s.T,
          .D = s.D,
          .scale = spec.scale,
          .window = spec.window,
          .softcap = spec.softcap};
}

template <class Real>
MixHeads<Real> mix_of(const Sizes& s, const AttentionSteps<Real>& steps) {
  return {.softmax = steps.softmax, .v = steps.v, .B = s.B, .H = s.H, .K = s.K, .T = s.T, .D = s.D};
}

template <class Real>
Numbers<Real> sinks_of(const Context& context, const AttentionSpec& spec, At at) {
  if (!spec.sinks) return {};
  return load<Real>(context, context.names.in_block(at.block, "sinks") + ".weight", spec.heads);
}

template <class Real>
Softmax<Real> softmax_of(const Sizes& s, const Numbers<Real>& scores, const Numbers<Real>& sinks) {
  return {.x = scores, .width = s.T, .sinks = sinks, .rows_of_sink = s.T};
}

// The sums over each row of softmax' gradient times softmax, as attention in one piece computes
// them (Dao et al. 2022, appendix B.2): dheads · heads, rounded apart from the gradient they are
// taken from, which shows where one cancels the other. Of doubles none: it is the same number.
//   dheads, heads: [B, T, H D]   ->   [B, H, T]
template <class Real>
Numbers<Real> row_dots(const Sizes& s, const Numbers<Real>& dheads, const Numbers<Real>& heads) {
  Numbers<Real> dots;
  if constexpr (std::is_same_v<Real, double>) return dots;
  dots.resize(static_cast<size_t>(s.B * s.H * s.T));
  for (int64_t b = 0; b < s.B; ++b)
    for (int64_t t = 0; t < s.T; ++t)
      for (int64_t h = 0; h < s.H; ++h) {
        const int64_t row = ((b * s.T + t) * s.H + h) * s.D;
        multiply_transposed(dheads.data() + row, heads.data() + row,
                            dots.data() + (b * s.H + h) * s.T + t, 1, s.D, 1);
      }
  return dots;
}

}  // namespace

Modules qkv_of(const Context& context, const AttentionSpec& spec, At at) {
  const int64_t D = spec.head_size;
  return {.names = context.names.qkv(at.block),
          .in = context.width(),
          .out = {spec.heads * D, spec.kv_heads * D, spec.kv_heads * D},
          .bias = spec.qkv_bias,
          .shares = {.of_out = context.ranks, .groups_out = spec.group() + 2}};
}

Modules attention_out_of(const Context& context, const AttentionSpec& spec, At at) {
  return {.names = {context.names.in_block(at.block, "attention_out")},
          .in = spec.heads * spec.head_size,
          .out = {context.width()},
          .bias = spec.out_bias,
          .shares = {.of_in = context.ranks}};
}

template <class Real>
Numbers<Real> attention(const Context& context, const AttentionSpec& spec, At at,
                        const std::string& site, const Numbers<Real>& x,
                        AttentionSteps<Real>& steps) {
  const Sizes s(context, spec);
  const Modules in = qkv_of(context, spec, at), out = attention_out_of(context, spec, at);
  const Numbers<Real> qkv = linear(linear_of(x, load<Real>(context, in), in));
  steps.q = Heads<Real>(context, spec, at, s.q()).forward(qkv);
  steps.k = Heads<Real>(context, spec, at, s.k()).forward(qkv);
  steps.v = split_heads(values_of<Real>(s, qkv));
  steps.scores = attention_scores(scores_of(s, spec, steps));
  steps.softmax =  // stored: products take what is
      stored(softmax(softmax_of(s, steps.scores, sinks_of<Real>(context, spec, at))));
  steps.heads = mix_heads(mix_of(s, steps));
  show(context.visit, site + "/qkv", {s.B, s.T, s.columns()}, qkv);
  show(context.visit, site + "/q", {s.B, s.H, s.T, s.D}, steps.q.turned);
  show(context.visit, site + "/k", {s.B, s.K, s.T, s.D}, steps.k.turned);
  show(context.visit, site + "/v", {s.B, s.K, s.T, s.D}, steps.v);
  show(context.visit, site + "/scores", {s.B, s.H, s.T, s.T}, steps.scores);
  show(context.visit, site + "/softmax", {s.B, s.H, s.T, s.T}, steps.softmax);
  show(context.visit, site + "/heads", {s.B, s.T, s.H * s.D}, steps.heads);
  return linear(linear_of(steps.heads, load<Real>(context, out), out));
}

template <class Real>
Numbers<Real> attention_backward(const Context& context, const AttentionSpec& spec, At at,
                                 const Numbers<Real>& x, const AttentionSteps<Real>& steps,
                                 const Numbers<Real>& dy, const TakeGradient<Real>& take) {
  const Sizes s(context, spec);
  const Modules in = qkv_of(context, spec, at), out = attention_out_of(context, spec, at);
  auto proj = linear_backward<Real>(linear_of(steps.heads, load<Real>(context, out), out), dy);
  take_modules(take, out, std::move(proj.weight), std::move(proj.bias));
  const auto mixed = mix_heads_backward<Real>(mix_of(s, steps), proj.x);
  const Numbers<Real> sinks = sinks_of<Real>(context, spec, at);
  auto scores = softmax_backward<Real>(softmax_of(s, steps.scores, sinks), mixed.softmax,
                                       row_dots(s, proj.x, steps.heads));
  if (spec.sinks)
    take(context.names.in_block(at.block, "sinks") + ".weight", std::move(scores.sinks));
  auto scored = attention_scores_backward<Real>(scores_of(s, spec, steps), steps.scores,
                                                stored(std::move(scores.x)));
  const auto q = Heads<Real>(context, spec, at, s.q()).backward(steps.q, std::move(scored.q), take);
  const auto k = Heads<Real>(context, spec, at, s.k()).backward(steps.k, std::move(scored.k), take);
  const auto v = split_heads_backward<Real>(values_of<Real>(s, {}), mixed.v);
  const auto qkv = stored(add<Real>(add<Real>(q, k), v));
  auto d = linear_backward<Real>(linear_of(x, load<Real>(context, in), in), qkv);
  take_modules(take, in, std::move(d.weight), std::move(d.bias));
  return std::move(d.x);
}

// NOLINTBEGIN(bugprone-macro-parentheses): a type
#define TPLAB_INSTANTIATE(Real)                                                                  \
  template Numbers<Real> attention(const Context&, const AttentionSpec&, At, const std::string&, \
                                   const Numbers<Real>&, AttentionSteps<Real>&);                 \
  template Numbers<Real> attention_backward(const Context&, const AttentionSpec&, At,            \
                                            const Numbers<Real>&, const AttentionSteps<Real>&,   \
                                            const Numbers<Real>&, const TakeGradient<Real>&);
// NOLINTEND(bugprone-macro-parentheses)
TPLAB_FOR_EACH_REAL(TPLAB_INSTANTIATE)
#undef TPLAB_INSTANTIATE

}  // namespace tplab::dense
