#include "model/config.h"

#include <fmt/format.h>

#include <cmath>

#include "sim/error.h"

namespace tplab {
namespace {

void check_size(const std::string& where, std::string_view size, int64_t value, int64_t most) {
  if (value >= 1 && value <= most) return;
  fail(fmt::format("{}: {} is {}", where, size, value),
       fmt::format("{} must be from 1 to {}", size, most));
}

// Values in all parameters together. A double, since a hostile config may overflow an int64.
double rough_count(const GptConfig& config) {
  double total = 0;
  const auto c = static_cast<double>(config.n_embd), f = static_cast<double>(config.n_inner);
  total += static_cast<double>(config.n_layer) * (4 * c * c + 2 * c * f + 13 * c + f);
  total += (config.tied_head ? 1 : 2) * static_cast<double>(config.vocab_size) * c;
  total += static_cast<double>(config.block_size) * c + 2 * c;
  return total;
}

GptConfig character_model(int64_t n_layer, int64_t n_head, int64_t n_embd, int64_t block_size) {
  return {.n_layer = n_layer,
          .n_head = n_head,
          .n_embd = n_embd,
          .block_size = block_size,
          .vocab_size = 65,  // tiny-shakespeare's characters
          .n_inner = 4 * n_embd,
          .bias = false};
}

// nanoGPT's GPT-2: OpenAI's sizes, but with the exact GELU that nn.GELU() computes.
GptConfig gpt2(int64_t n_layer, int64_t n_head, int64_t n_embd) {
  return {.n_layer = n_layer,
          .n_head = n_head,
          .n_embd = n_embd,
          .block_size = 1024,
          .vocab_size = 50257,
          .n_inner = 4 * n_embd};
}

}  // namespace

void check(const GptConfig& config, const std::string& where) {
  constexpr int64_t kMaxWidth = int64_t{1} << 24, kMaxLength = int64_t{1} << 31;
  check_size(where, "n_layer", config.n_layer, kMostLayers);
  check_size(where, "n_head", config.n_head, kMaxWidth);
  check_size(where, "n_embd", config.n_embd, kMaxWidth);
  check_size(where, "n_inner", config.n_inner, kMaxWidth);
  check_size(where, "block_size", config.block_size, kMaxLength);
  check_size(where, "vocab_size", config.vocab_size, kMaxLength);
  if (config.n_embd % config.n_head != 0) {
    fail(
        fmt::format("{}: n_head {} does not divide n_embd {}", where, config.n_head, config.n_embd),
        "choose n_embd as a multiple of n_head: every head has n_embd / n_head features");
  }
  if (!(config.layer_norm_eps > 0 && std::isfinite(config.layer_norm_eps))) {
    fail(fmt::format("{}: the layer norms' epsilon is {}", where, config.layer_norm_eps),
         "it must be a positive number; GPT-2's is 1e-5");
  }
  if (!(rough_count(config) * 8 < 0x1p62)) {
    fail(fmt::format("{}: {:.1e} parameters are more than 64-bit byte counts can hold", where,
                     rough_count(config)),
         "choose smaller sizes");
  }
}

GptConfig::operator Architecture() const {
  check(*this, "the model");
  const NormSpec norm{.kind = NormSpec::Kind::layer, .eps = layer_norm_eps, .bias = bias};
  const AttentionSpec attention{.heads = n_head,
                                .kv_heads = n_head,
                                .head_size = head_size(),
                                .qkv_bias = bias,
                                .out_bias = bias,
                                .scale = 1 / std::sqrt(static_cast<double>(head_size()))};
  const MlpSpec mlp{
      .width = n_inner,
      .activation = gelu == Gelu::erf ? ActivationKind::gelu : ActivationKind::gelu_tanh,
      .bias = bias};
  const std::vector<JoinSpec> block = {{.branches = {{attention}}, .before = norm},
                                       {.branches = {{mlp}}, .before = norm}};
  return {.family = std::string(kGptFamily),
          .width = n_embd,
          .vocabulary = vocab_size,
          .context = block_size,
          .tied_head = tied_head,
          .blocks = std::vector(static_cast<size_t>(n_layer), block),
          .final_norm = norm};
}

GptConfig gpt_config(const Architecture& architecture) {
  const auto refuse = [&] {
    throw Error(ErrorKind::unavailable,
                "this needs a GPT-2, and the model is another: " + architecture.family,
                "use a model of nanoGPT's or GPT-2's kind");
  };
  if (architecture.family != kGptFamily) refuse();
  const AttentionSpec& attention = first_attention(architecture);
  const MlpSpec& mlp = first_mlp(architecture);
  const GptConfig config{.n_layer = architecture.layers(),
                         .n_head = attention.heads,
                         .n_embd = architecture.width,
                         .block_size = architecture.context,
                         .vocab_size = architecture.vocabulary,
                         .n_inner = mlp.width,
                         .bias = mlp.bias,
                         .tied_head = architecture.tied_head,
                         .gelu = mlp.activation == ActivationKind::gelu ? Gelu::erf : Gelu::tanh,
                         .layer_norm_eps = architecture.final_norm.eps};
  if (Architecture(config) != architecture) refuse();
  return config;
}

const std::vector<Preset>& presets() {
  static const std::vector<Preset> table = {
      {"nano-cpu", "nanoGPT's characters on a laptop: 0.8 M parameters",
       character_model(4, 4, 128, 64)},
      {"nano", "nanoGPT's characters on a GPU: 11 M parameters", character_model(6, 6, 384, 256)},
      {"gpt2", "GPT-2 small: 124 M parameters", gpt2(12, 12, 768)},
      {"gpt2-medium", "GPT-2 medium: 354 M parameters", gpt2(24, 16, 1024)},
      {"gpt2-large", "GPT-2 large: 774 M parameters", gpt2(36, 20, 1280)},
      {"gpt2-xl", "GPT-2 XL: 1558 M parameters", gpt2(48, 25, 1600)},
  };
  return table;
}

const Preset& find_preset(std::string_view name) {
  std::string names;
  for (const Preset& preset : presets()) {
    if (preset.name == name) return preset;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", preset.name);
  }
  fail(fmt::format("there is no preset named '{}'", name), "the presets are " + names);
}

}  // namespace tplab
