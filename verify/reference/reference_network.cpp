// The dense GPT's forward pass put together from dense layers: read it beside nanoGPT's model.py.
#include "verify/reference/reference_network.h"

#include <fmt/format.h>

#include "sim/error.h"

namespace tplab::dense {
namespace {

template <class Real>
BlockActivations<Real> block_forward(const GptConfig& config, const BlockWeights<Real>& w,
                                     std::vector<Real> x, int64_t B, int64_t T) {
  const int64_t C = config.n_embd, H = config.n_head, D = C / H, F = config.n_inner;
  BlockActivations<Real> a;
  a.x = std::move(x);

  // x = x + attn(ln_1(x))
  a.ln_1 = layer_norm(norm_of(a.x, w.ln_1, config));      // [B, T, C]
  a.qkv = linear(linear_of(a.ln_1, w.c_attn, C, 3 * C));  // [B, T, 3C]
  a.q = split_heads<Real>({a.qkv, B, T, H, D, 0});        // [B, H, T, D]
  a.k = split_heads<Real>({a.qkv, B, T, H, D, 1});
  a.v = split_heads<Real>({a.qkv, B, T, H, D, 2});
  a.scores = attention_scores<Real>({a.q, a.k, B * H, T, D});  // [B, H, T, T]
  a.softmax = stored(softmax<Real>(a.scores, T));              // products take what is stored
  a.heads = mix_heads<Real>({a.softmax, a.v, B, H, T, D});     // [B, T, C]
  a.proj = linear(linear_of(a.heads, w.attn_proj, C, C));
  a.attn = stored(add<Real>(a.x, a.proj));

  // x = x + mlp(ln_2(x))
  a.ln_2 = layer_norm(norm_of(a.attn, w.ln_2, config));
  a.fc = linear(linear_of(a.ln_2, w.c_fc, C, F));  // [B, T, F]
  a.gelu = gelu<Real>(a.fc, config.gelu);
  a.mlp_proj = linear(linear_of(a.gelu, w.mlp_proj, F, C));  // [B, T, C]
  a.y = stored(add<Real>(a.attn, a.mlp_proj));
  return a;
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
std::vector<Real> embed(const GptConfig& config, View<Real> wte, View<Real> wpe,
                        const TokenBatch& batch, const Visitor& visit) {
  const int64_t B = batch.B, T = batch.T, C = config.n_embd;
  const auto tok = embedding<Real>({.table = wte, .ids = batch.tokens, .C = C});  // [B, T, C]
  auto pos = embedding<Real>({.table = wpe, .ids = positions(batch), .C = C});
  std::vector<Real> x = stored(add<Real>(tok, pos));
  pos.resize(static_cast<size_t>(T * C));  // the same for each sequence
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

}  // namespace

template <class Real>
std::vector<Real> load(const Weights& weights, const std::string& name, int64_t count) {
  std::vector<double> values = weights(name);
  if (static_cast<int64_t>(values.size()) != count)
    fail(fmt::format("{} holds {} numbers; the config says {}", name, values.size(), count),
         "use a config that belongs to these weights");
  if constexpr (std::is_same_v<Real, double>) {
    return values;
  } else {
    std::vector<Real> rounded(values.size());
    std::transform(values.begin(), values.end(), rounded.begin(), Real::loaded);
    return rounded;
  }
}

template <class Real>
Affine<Real> load_affine(const Weights& weights, const std::string& name, int64_t in, int64_t out,
                         bool bias) {
  Affine<Real> loaded{.weight = load<Real>(weights, name + ".weight", in * out), .bias = {}};
  if (bias) loaded.bias = load<Real>(weights, name + ".bias", out);
  return loaded;
}

template <class Real>
BlockWeights<Real> load_block(const Weights& weights, const GptConfig& config, int64_t i,
                              int64_t ranks) {
  const int64_t C = config.n_embd, F = config.n_inner;
  auto affine = [&](const std::string& name, int64_t in, int64_t out, Shares shares) {
    const std::string full = fmt::format("transformer.h.{}.{}", i, name);
    Affine<Real> loaded = load_affine<Real>(weights, full, in, out, config.bias);
    loaded.shares = shares;
    return loaded;
  };
  return {.ln_1 = affine("ln_1", 1, C, {}),
          .c_attn = affine("attn.c_attn", C, 3 * C, {.of_out = ranks, .groups_out = 3}),
          .attn_proj = affine("attn.c_proj", C, C, {.of_in = ranks}),
          .ln_2 = affine("ln_2", 1, C, {}),
          .c_fc = affine("mlp.c_fc", C, F, {.of_out = ranks}),
          .mlp_proj = affine("mlp.c_proj", F, C, {.of_in = ranks})};
}

std::string head_name(const GptConfig& config) {
  return config.tied_head ? kTokenTable : "lm_head.weight";
}

std::vector<int> positions(const TokenBatch& batch) {
  std::vector<int> ids;
  for (int64_t i = 0; i < batch.B * batch.T; ++i) ids.push_back(static_cast<int>(i % batch.T));
  return ids;
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

template <class Real>
NetworkActivations<Real> network_forward(const GptConfig& config, const Weights& weights,
                                         const TokenBatch& batch, const Visitor& visit,
                                         bool keep_blocks, int64_t ranks) {
  check_batch(batch, config);
  const int64_t B = batch.B, T = batch.T, C = config.n_embd, V = config.vocab_size;
  NetworkActivations<Real> a;
  auto wte = load<Real>(weights, kTokenTable, V * C);
  {
    const auto wpe = load<Real>(weights, kPositionTable, config.block_size * C);
    a.x = embed<Real>(config, wte, wpe, batch, visit);  // [B, T, C]
  }
  if (!config.tied_head) wte = std::vector<Real>();
  for (int64_t i = 0; i < config.n_layer; ++i) {
    const auto w = load_block<Real>(weights, config, i, ranks);
    BlockActivations<Real> block = block_forward(config, w, std::move(a.x), B, T);
    if (visit) show_block(visit, config, block, i, B, T);
    a.x = std::move(block.y);
    if (keep_blocks) a.blocks.push_back(std::move(block));
  }
  const auto ln_f = load_affine<Real>(weights, "transformer.ln_f", 1, C, config.bias);
  a.ln_f = layer_norm(norm_of(a.x, ln_f, config));
  show(visit, "ln_f", {B, T, C}, a.ln_f);
  a.head.weight = config.tied_head ? std::move(wte) : load<Real>(weights, head_name(config), V * C);
  a.head.shares = {.of_out = ranks};
  a.logits = linear(linear_of(a.ln_f, a.head, C, V));  // [B, T, V]
  show(visit, "head/logits", {B, T, V}, a.logits);
  return a;
}

#define TPLAB_INSTANTIATE(Real)                                                                  \
  template std::vector<Real> load(const Weights&, const std::string&, int64_t);                  \
  template Affine<Real> load_affine(const Weights&, const std::string&, int64_t, int64_t, bool); \
  template BlockWeights<Real> load_block(const Weights&, const GptConfig&, int64_t, int64_t);    \
  template NetworkActivations<Real> network_forward(                                             \
      const GptConfig&, const Weights&, const TokenBatch&, const Visitor&, bool, int64_t);
TPLAB_INSTANTIATE(double)
TPLAB_INSTANTIATE(Rough<DType::f32>)
TPLAB_INSTANTIATE(Rough<DType::f64>)
TPLAB_INSTANTIATE(Rough<DType::bf16>)
#undef TPLAB_INSTANTIATE

}  // namespace tplab::dense
