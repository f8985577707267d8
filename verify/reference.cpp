// The dense GPT put together from dense layers: read it beside nanoGPT's model.py.
#include "verify/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#include "sim/error.h"
#include "verify/dense.h"

namespace tplab {
namespace {

using Shape = std::vector<int64_t>;

template <class Real>
std::vector<Real> load(const Weights& weights, const std::string& name, int64_t count) {
  std::vector<double> values = weights(name);
  if (static_cast<int64_t>(values.size()) != count)
    fail(fmt::format("{} holds {} numbers; the config says {}", name, values.size(), count),
         "use a config that belongs to these weights");
  if constexpr (std::is_same_v<Real, double>) return values;
  std::vector<Real> rounded(values.size());
  std::transform(values.begin(), values.end(), rounded.begin(),
                 [](double v) { return static_cast<Real>(v); });
  return rounded;
}

// The two parameters of a linear layer or a layer norm; the bias is empty where there is none.
template <class Real>
struct Affine {
  std::vector<Real> weight, bias;
};

template <class Real>
Affine<Real> load_affine(const Weights& weights, const std::string& name, int64_t in, int64_t out,
                         bool bias) {
  Affine<Real> loaded{.weight = load<Real>(weights, name + ".weight", in * out), .bias = {}};
  if (bias) loaded.bias = load<Real>(weights, name + ".bias", out);
  return loaded;
}

template <class Real>
struct BlockWeights {
  Affine<Real> ln_1, c_attn, attn_proj, ln_2, c_fc, mlp_proj;
};

template <class Real>
BlockWeights<Real> load_block(const Weights& weights, const GptConfig& config, int64_t i) {
  const int64_t C = config.n_embd, F = config.n_inner;
  auto affine = [&](const std::string& name, int64_t in, int64_t out) {
    const std::string full = fmt::format("transformer.h.{}.{}", i, name);
    return load_affine<Real>(weights, full, in, out, config.bias);
  };
  return {.ln_1 = affine("ln_1", 1, C),
          .c_attn = affine("attn.c_attn", C, 3 * C),
          .attn_proj = affine("attn.c_proj", C, C),
          .ln_2 = affine("ln_2", 1, C),
          .c_fc = affine("mlp.c_fc", C, F),
          .mlp_proj = affine("mlp.c_proj", F, C)};
}

// Everything a block computes, in order: what its backward needs.
template <class Real>
struct BlockActivations {
  std::vector<Real> x;                                                       // the block's input
  std::vector<Real> ln_1, qkv, q, k, v, scores, softmax, heads, proj, attn;  // attn = x + proj
  std::vector<Real> ln_2, fc, gelu, mlp_proj, y;                             // y = attn + mlp_proj
};

template <class Real>
BlockActivations<Real> block_forward(const GptConfig& config, const BlockWeights<Real>& w,
                                     std::vector<Real> x, int64_t B, int64_t T) {
  using namespace dense;
  const int64_t C = config.n_embd, H = config.n_head, D = C / H, F = config.n_inner;
  auto norm = [&](View<Real> in, const Affine<Real>& p) {
    return layer_norm<Real>(
        {.x = in, .weight = p.weight, .bias = p.bias, .C = C, .eps = config.layer_norm_eps});
  };
  auto project = [](View<Real> in, const Affine<Real>& p, int64_t n_in, int64_t n_out) {
    return linear<Real>({.x = in, .weight = p.weight, .bias = p.bias, .in = n_in, .out = n_out});
  };
  BlockActivations<Real> a;
  a.x = std::move(x);

  // x = x + attn(ln_1(x))
  a.ln_1 = norm(a.x, w.ln_1);                       // [B, T, C]
  a.qkv = project(a.ln_1, w.c_attn, C, 3 * C);      // [B, T, 3C]
  a.q = split_heads<Real>({a.qkv, B, T, H, D, 0});  // [B, H, T, D]
  a.k = split_heads<Real>({a.qkv, B, T, H, D, 1});
  a.v = split_heads<Real>({a.qkv, B, T, H, D, 2});
  a.scores = attention_scores<Real>({a.q, a.k, B * H, T, D});  // [B, H, T, T]
  a.softmax = softmax<Real>(a.scores, T);
  a.heads = mix_heads<Real>({a.softmax, a.v, B, H, T, D});  // [B, T, C]
  a.proj = project(a.heads, w.attn_proj, C, C);
  a.attn = add<Real>(a.x, a.proj);

  // x = x + mlp(ln_2(x))
  a.ln_2 = norm(a.attn, w.ln_2);
  a.fc = project(a.ln_2, w.c_fc, C, F);  // [B, T, F]
  a.gelu = gelu<Real>(a.fc, config.gelu);
  a.mlp_proj = project(a.gelu, w.mlp_proj, F, C);  // [B, T, C]
  a.y = add<Real>(a.attn, a.mlp_proj);
  return a;
}

template <class Real>
void show(const Visitor& visit, std::string site, Shape shape, const std::vector<Real>& values) {
  if (visit) visit({std::move(site), std::move(shape), {values.begin(), values.end()}});
}

template <class Real>
void show_block(const Visitor& visit, const GptConfig& config, const BlockActivations<Real>& a,
                int64_t i, int64_t B, int64_t T) {
  const int64_t C = config.n_embd, H = config.n_head, D = C / H, F = config.n_inner;
  const std::string block = fmt::format("block {}", i);
  show(visit, block + "/ln_1", {B, T, C}, a.ln_1);
  show(visit, block + "/attn/qkv", {B, T, 3 * C}, a.qkv);
  show(visit, block + "/attn/q", {B, H, T, D}, a.q);
  show(visit, block + "/attn/k", {B, H, T, D}, a.k);
  show(visit, block + "/attn/v", {B, H, T, D}, a.v);
  show(visit, block + "/attn/scores", {B, H, T, T}, a.scores);
  show(visit, block + "/attn/softmax", {B, H, T, T}, a.softmax);
  show(visit, block + "/attn/heads", {B, T, C}, a.heads);
  show(visit, block + "/attn/proj", {B, T, C}, a.proj);
  show(visit, block + "/mid", {B, T, C}, a.attn);
  show(visit, block + "/ln_2", {B, T, C}, a.ln_2);
  show(visit, block + "/mlp/fc", {B, T, F}, a.fc);
  show(visit, block + "/mlp/gelu", {B, T, F}, a.gelu);
  show(visit, block + "/mlp/proj", {B, T, C}, a.mlp_proj);
  show(visit, block + "/out", {B, T, C}, a.y);
}

// x = wte[tokens] + wpe[0 .. T)   ->   [B, T, C]
template <class Real>
std::vector<Real> embed(const GptConfig& config, const Weights& weights, const TokenBatch& batch,
                        const Visitor& visit) {
  const int64_t B = batch.B, T = batch.T, C = config.n_embd;
  const auto row = static_cast<size_t>(C);
  std::vector<Real> tok, all_positions;
  {
    const auto wte = load<Real>(weights, "transformer.wte.weight", config.vocab_size * C);
    for (const int token : batch.tokens)
      tok.insert(tok.end(), wte.data() + token * C, wte.data() + (token + 1) * C);
  }
  std::vector<Real> pos = load<Real>(weights, "transformer.wpe.weight", config.block_size * C);
  pos.resize(static_cast<size_t>(T) * row);
  for (int64_t b = 0; b < B; ++b) all_positions.insert(all_positions.end(), pos.begin(), pos.end());
  std::vector<Real> x = dense::add<Real>(tok, all_positions);
  show(visit, "embed/tok", {B, T, C}, tok);
  show(visit, "embed/pos", {1, T, C}, pos);
  show(visit, "embed/out", {B, T, C}, x);
  return x;
}

void check_ids(const std::vector<int>& ids, const char* what, int lowest, const GptConfig& config) {
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < lowest || ids[i] >= config.vocab_size)
      fail(fmt::format("{} {} is {}, outside the vocabulary of {}", what, i, ids[i],
                       config.vocab_size),
           fmt::format("use ids from {} to {}", lowest, config.vocab_size - 1));
}

void check_batch(const TokenBatch& batch, const GptConfig& config) {
  const auto& [B, T, tokens, targets] = batch;
  if (B < 1 || T < 1 || T > config.block_size)
    fail(fmt::format("a batch of {} sequences of {} tokens", B, T),
         fmt::format("use at least 1 sequence of 1 to {} tokens", config.block_size));
  if (static_cast<int64_t>(tokens.size()) / T != B || static_cast<int64_t>(tokens.size()) % T != 0)
    fail(fmt::format("{} tokens for a batch of [{}, {}]", tokens.size(), B, T),
         "give B * T tokens");
  if (!targets.empty() && targets.size() != tokens.size())
    fail(fmt::format("{} targets for {} tokens", targets.size(), tokens.size()),
         "give a target for each token, or none");
  check_ids(tokens, "token", 0, config);
  check_ids(targets, "target", -1, config);
}

}  // namespace

template <class Real>
Reference<Real>::Reference(const GptConfig& config, Weights weights)
    : config_(config), weights_(std::move(weights)) {}

template <class Real>
ReferenceOutput Reference<Real>::forward(const TokenBatch& batch, const Visitor& visit) const {
  check_batch(batch, config_);
  const int64_t B = batch.B, T = batch.T, C = config_.n_embd, V = config_.vocab_size;
  std::vector<Real> x = embed<Real>(config_, weights_, batch, visit);  // [B, T, C]
  for (int64_t i = 0; i < config_.n_layer; ++i) {
    const auto w = load_block<Real>(weights_, config_, i);
    BlockActivations<Real> block = block_forward(config_, w, std::move(x), B, T);
    if (visit) show_block(visit, config_, block, i, B, T);
    x = std::move(block.y);
  }
  const auto ln_f = load_affine<Real>(weights_, "transformer.ln_f", 1, C, config_.bias);
  x = dense::layer_norm<Real>(
      {.x = x, .weight = ln_f.weight, .bias = ln_f.bias, .C = C, .eps = config_.layer_norm_eps});
  show(visit, "ln_f", {B, T, C}, x);
  const char* head = config_.tied_head ? "transformer.wte.weight" : "lm_head.weight";
  const auto w = load<Real>(weights_, head, V * C);
  const std::vector<Real> logits =
      dense::linear<Real>({.x = x, .weight = w, .bias = {}, .in = C, .out = V});  // [B, T, V]
  show(visit, "head/logits", {B, T, V}, logits);

  ReferenceOutput out{.shape = {B, T, V}, .logits = {logits.begin(), logits.end()}, .loss = {}};
  if (!batch.targets.empty())
    out.loss = dense::cross_entropy<Real>({.logits = logits, .targets = batch.targets, .V = V});
  return out;
}

template <class Real>
std::vector<int> Reference<Real>::greedy(const std::vector<int>& prompt, int64_t n_new) const {
  if (prompt.empty()) fail("the prompt has no tokens", "begin with at least one");
  std::vector<int> tokens = prompt;
  for (int64_t n = 0; n < n_new; ++n) {
    const auto T = std::min(static_cast<int64_t>(tokens.size()), config_.block_size);
    const ReferenceOutput out =
        forward({.B = 1, .T = T, .tokens = {tokens.end() - T, tokens.end()}});
    const auto last = out.logits.end() - config_.vocab_size;
    tokens.push_back(static_cast<int>(std::max_element(last, out.logits.end()) - last));
  }
  return tokens;
}

template class Reference<double>;
template class Reference<float>;

}  // namespace tplab
