// The reference's backward pass: the forward's lines in the opposite order.
#include <fmt/format.h>

#include <array>
#include <type_traits>
#include <utility>

#include "sim/error.h"
#include "verify/reference/dense_backward.h"
#include "verify/reference/dense_product.h"
#include "verify/reference/reference.h"
#include "verify/reference/reference_network.h"

namespace tplab {
namespace {

using namespace dense;

template <class Real>
struct BlockGradients {
  std::vector<Real> x;  // of the block's input
  BlockWeights<Real> weights;
};

// The sums over each row of softmax' gradient times softmax, as attention in one piece computes
// them (Dao et al. 2022, appendix B.2): dheads · heads, rounded apart from the gradient they are
// taken from, which shows where one cancels the other. Of doubles none: it is the same number.
//   dheads, heads: [B, T, H D]   ->   [B, H, T]
template <class Real>
std::vector<Real> row_dots(const std::vector<Real>& dheads, const std::vector<Real>& heads,
                           std::array<int64_t, 4> shape) {
  std::vector<Real> dots;
  if constexpr (std::is_same_v<Real, double>) return dots;
  const auto [B, T, H, D] = shape;
  dots.resize(static_cast<size_t>(B * H * T));
  for (int64_t b = 0; b < B; ++b)
    for (int64_t t = 0; t < T; ++t)
      for (int64_t h = 0; h < H; ++h) {
        const int64_t row = ((b * T + t) * H + h) * D;
        multiply_transposed(dheads.data() + row, heads.data() + row,
                            dots.data() + (b * H + h) * T + t, 1, D, 1);
      }
  return dots;
}

// Where a value was used twice, as the stream is by a branch and by the sum after it, its gradient
// is the sum of both.
template <class Real>
BlockGradients<Real> block_backward(const GptConfig& config, const BlockWeights<Real>& w,
                                    const BlockActivations<Real>& a, const std::vector<Real>& dy,
                                    int64_t B, int64_t T) {
  const int64_t C = config.n_embd, H = config.n_head, D = C / H, F = config.n_inner;

  // y = attn + mlp(ln_2(attn))
  auto mlp_proj = linear_backward<Real>(linear_of(a.gelu, w.mlp_proj, F, C), dy);
  const auto fc = gelu_backward<Real>(a.fc, config.gelu, mlp_proj.x);  // [B, T, F]
  auto c_fc = linear_backward<Real>(linear_of(a.ln_2, w.c_fc, C, F), fc);
  auto ln_2 = layer_norm_backward<Real>(norm_of(a.attn, w.ln_2, config), c_fc.x);
  const auto attn = stored(add<Real>(dy, ln_2.x));  // [B, T, C]

  // attn = x + attention(ln_1(x))
  auto attn_proj = linear_backward<Real>(linear_of(a.heads, w.attn_proj, C, C), attn);
  const auto mixed = mix_heads_backward<Real>({a.softmax, a.v, B, H, T, D}, attn_proj.x);
  const auto dots = row_dots<Real>(attn_proj.x, a.heads, {B, T, H, D});
  const auto scores =
      stored(softmax_backward<Real>(a.scores, T, mixed.softmax, dots));  // [B, H, T, T]
  const auto scored = attention_scores_backward<Real>({a.q, a.k, B * H, T, D}, scores);
  const auto q = split_heads_backward<Real>({a.qkv, B, T, H, D, 0}, scored.q);  // [B, T, 3C]
  const auto k = split_heads_backward<Real>({a.qkv, B, T, H, D, 1}, scored.k);
  const auto v = split_heads_backward<Real>({a.qkv, B, T, H, D, 2}, mixed.v);
  const auto qkv = stored(add<Real>(add<Real>(q, k), v));
  auto c_attn = linear_backward<Real>(linear_of(a.ln_1, w.c_attn, C, 3 * C), qkv);
  auto ln_1 = layer_norm_backward<Real>(norm_of(a.x, w.ln_1, config), c_attn.x);

  const auto parameters = [](auto& d) -> Affine<Real> {
    return {std::move(d.weight), std::move(d.bias), {}};
  };
  return {.x = stored(add<Real>(attn, ln_1.x)),
          .weights = {.ln_1 = parameters(ln_1),
                      .c_attn = parameters(c_attn),
                      .attn_proj = parameters(attn_proj),
                      .ln_2 = parameters(ln_2),
                      .c_fc = parameters(c_fc),
                      .mlp_proj = parameters(mlp_proj)}};
}

template <class Real>
void take_affine(const TakeGradient<Real>& take, const std::string& name, Affine<Real> d) {
  take(name + ".weight", std::move(d.weight));
  if (!d.bias.empty()) take(name + ".bias", std::move(d.bias));
}

template <class Real>
void take_block(const TakeGradient<Real>& take, int64_t i, BlockWeights<Real> d) {
  const auto part = [&](const char* name, Affine<Real>& p) {
    take_affine(take, fmt::format("transformer.h.{}.{}", i, name), std::move(p));
  };
  part("mlp.c_proj", d.mlp_proj);
  part("mlp.c_fc", d.c_fc);
  part("ln_2", d.ln_2);
  part("attn.c_proj", d.attn_proj);
  part("attn.c_attn", d.c_attn);
  part("ln_1", d.ln_1);
}

// The gradients of the two tables, given that of their rows' sum. A tied head's is the token
// table's too: it was used twice, and its gradients are added.
template <class Real>
void embed_backward(const GptConfig& config, const TokenBatch& batch, const std::vector<Real>& dx,
                    std::vector<Real> of_tied_head, const TakeGradient<Real>& take) {
  const int64_t C = config.n_embd;
  const auto table = [&](int64_t rows, const std::vector<int>& ids) {
    return embedding_backward<Real>(ids, rows, C, dx);
  };
  auto wte = table(config.vocab_size, batch.tokens);
  if (!of_tied_head.empty()) wte = add<Real>(of_tied_head, wte);
  take(kTokenTable, std::move(wte));
  take(kPositionTable, table(config.block_size, positions(batch)));
}

}  // namespace

template <class Real>
ReferenceLoss Reference<Real>::backward(const TokenBatch& batch, const TakeGradient<Real>& take,
                                        const Visitor& visit) const {
  if (batch.targets.empty())
    fail("a batch without targets has no loss and no gradients", "give a target for each token");
  auto a = network_forward<Real>(config_, weights_, batch, {}, true, ranks_);
  const int64_t B = batch.B, T = batch.T, C = config_.n_embd, V = config_.vocab_size;

  const CrossEntropy<Real> loss{.logits = a.logits, .targets = batch.targets, .V = V};
  std::vector<Real> dx, of_tied_head;  // of the stream, [B, T, C], and of the table
  {
    auto d = linear_backward<Real>(linear_of(a.ln_f, a.head, C, V), cross_entropy_backward(loss));
    a.head = {};
    if (config_.tied_head)
      of_tied_head = std::move(d.weight);
    else
      take(head_name(config_), std::move(d.weight));
    show(visit, "head/grad", {B, T, C}, d.x);
    const auto ln_f = load_affine<Real>(weights_, "transformer.ln_f", 1, C, config_.bias);
    auto d_ln_f = layer_norm_backward<Real>(norm_of(a.x, ln_f, config_), d.x);
    take_affine<Real>(take, "transformer.ln_f",
                      {std::move(d_ln_f.weight), std::move(d_ln_f.bias), {}});
    dx = std::move(d_ln_f.x);
  }
  for (int64_t i = config_.n_layer - 1; i >= 0; --i) {
    const auto w = load_block<Real>(weights_, config_, i, ranks_);
    auto d = block_backward(config_, w, a.blocks.back(), dx, B, T);
    a.blocks.pop_back();
    take_block(take, i, std::move(d.weights));
    dx = std::move(d.x);
    show(visit, fmt::format("block {}/grad", i), {B, T, C}, dx);
  }
  show(visit, "embed/grad", {B, T, C}, dx);
  embed_backward(config_, batch, dx, std::move(of_tied_head), take);
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
TPLAB_INSTANTIATE(double)
TPLAB_INSTANTIATE(Rough<DType::f32>)
TPLAB_INSTANTIATE(Rough<DType::f64>)
TPLAB_INSTANTIATE(Rough<DType::bf16>)
#undef TPLAB_INSTANTIATE

}  // namespace tplab
