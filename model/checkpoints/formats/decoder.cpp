#include "model/checkpoints/formats/decoder.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

namespace tplab {

namespace {

const std::string kLayer = "model.layers.{}.";

// Of the heads' features those that are turned, an even number.
int64_t rotated_of(const ConfigJson& config, const char* key, int64_t head_size) {
  const double part = config.positive(key, 1);
  const auto rotated = static_cast<int64_t>(part * static_cast<double>(head_size));
  if (part > 1 || rotated < 2 || rotated % 2 != 0)
    config.refuse(key, fmt::format("a part of head_dim {} that is even", head_size));
  return rotated;
}

}  // namespace

Rope read_rope_parameters(const ConfigJson& rope, double theta, int64_t rotated, int64_t context) {
  using Kind = Rope::Kind;
  Rope read{.theta = theta, .rotated = rotated};
  const char* key = rope.has("rope_type") ? "rope_type" : "type";  // before transformers 4.43
  if (!rope.has(key) && rope.has("factor")) rope.refuse("rope_type", "there: it says how");
  const std::string type = rope.has(key) ? rope.text(key) : "default";
  if (type == "default") return read;
  read.scaling.factor = rope.positive("factor");
  if (type == "linear") {
    read.scaling.kind = Kind::linear;
    return read;
  }
  read.scaling.original_context = rope.has("original_max_position_embeddings")
                                      ? rope.size("original_max_position_embeddings")
                                      : context;
  if (type == "llama3") {
    read.scaling.kind = Kind::llama3;
    read.scaling.low_factor = rope.positive("low_freq_factor");
    read.scaling.high_factor = rope.positive("high_freq_factor");
    if (read.scaling.high_factor <= read.scaling.low_factor)
      rope.refuse("high_freq_factor", "above low_freq_factor");
  } else if (type == "yarn") {
    read.scaling.kind = Kind::yarn;
    read.scaling.beta_fast = rope.positive("beta_fast", 32);
    read.scaling.beta_slow = rope.positive("beta_slow", 1);
    read.scaling.truncate = rope.flag("truncate", true);
    for (const char* other : {"attention_factor", "mscale", "mscale_all_dim"})
      if (rope.has(other)) rope.refuse(other, "absent: tplab takes YaRN's own factor");
  } else {
    rope.refuse(key, "default, linear, llama3 or yarn");
  }
  return read;
}

Rope read_rope(const ConfigJson& config, int64_t head_size, int64_t context) {
  constexpr double kTheta = 10'000;
  if (config.has("rope_parameters")) {
    const ConfigJson rope = config.object("rope_parameters");
    return read_rope_parameters(rope, rope.positive("rope_theta", kTheta),
                                rotated_of(rope, "partial_rotary_factor", head_size), context);
  }
  const double theta = config.positive("rope_theta", kTheta);
  const int64_t rotated = rotated_of(config, "partial_rotary_factor", head_size);
  if (!config.has("rope_scaling")) return {.theta = theta, .rotated = rotated};
  return read_rope_parameters(config.object("rope_scaling"), theta, rotated, context);
}

ActivationKind read_activation(const ConfigJson& config, const char* key,
                               const std::string& otherwise) {
  static const std::pair<const char*, ActivationKind> names[] = {
      {"silu", ActivationKind::silu},
      {"swish", ActivationKind::silu},
      {"gelu", ActivationKind::gelu},
      {"gelu_new", ActivationKind::gelu_tanh},
      {"gelu_pytorch_tanh", ActivationKind::gelu_tanh},
      {"gelu_fast", ActivationKind::gelu_tanh},
      {"quick_gelu", ActivationKind::quick_gelu},
      {"relu", ActivationKind::relu},
      {"tanh", ActivationKind::tanh}};
  const std::string wanted = config.has(key) ? config.text(key) : otherwise;
  std::string known;
  for (const auto& [name, kind] : names) {
    if (wanted == name) return kind;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  config.refuse(key, "one of " + known);
}

AttentionSpec read_attention(const ConfigJson& config) {
  const int64_t width = config.size("hidden_size"), heads = config.size("num_attention_heads");
  AttentionSpec spec{.heads = heads, .kv_heads = config.size_or("num_key_value_heads", heads)};
  if (heads % spec.kv_heads != 0)
    config.refuse("num_key_value_heads", "a divisor of num_attention_heads");
  if (!config.has("head_dim") && width % heads != 0)
    config.refuse("hidden_size", "a multiple of num_attention_heads");
  spec.head_size = config.size_or("head_dim", width / heads);
  spec.rope = read_rope(config, spec.head_size, config.size("max_position_embeddings"));
  spec.scale = 1 / std::sqrt(static_cast<double>(spec.head_size));
  return spec;
}

MlpSpec read_gated_mlp(const ConfigJson& config, const char* width) {
  return {.width = config.size(width),
          .activation = read_activation(config, "hidden_act", "silu"),
          .gating = {.kind = Gating::Kind::gated}};
}

NormSpec read_rms_norm(const ConfigJson& config) {
  return {.kind = NormSpec::Kind::rms, .eps = config.positive("rms_norm_eps", 1e-6)};
}

std::vector<bool> read_windows(const ConfigJson& config,
                               const std::function<bool(int64_t layer)>& otherwise) {
  std::vector<bool> windows;
  const int64_t layers = config.size("num_hidden_layers", kMostLayers);
  if (!config.has("layer_types")) {
    for (int64_t i = 0; i < layers; ++i) windows.push_back(otherwise(i));
    return windows;
  }
  for (const std::string& kind : config.texts("layer_types")) {
    windows.push_back(kind == "sliding_attention");
    if (!windows.back() && kind != "full_attention")
      config.refuse("layer_types", "of sliding_attention and full_attention");
  }
  if (static_cast<int64_t>(windows.size()) != layers)
    config.refuse("layer_types", "a list of num_hidden_layers kinds");
  return windows;
}

Architecture read_decoder(const ConfigJson& config, const NormSpec& norm, const BlockOf& block,
                          bool tied) {
  Architecture architecture{.width = config.size("hidden_size"),
                            .vocabulary = config.size("vocab_size"),
                            .context = config.size("max_position_embeddings"),
                            .positions = PositionKind::in_attention,
                            .tied_head = config.flag("tie_word_embeddings", tied),
                            .final_norm = norm};
  const int64_t layers = config.size("num_hidden_layers", kMostLayers);
  for (int64_t i = 0; i < layers; ++i) architecture.blocks.push_back(block(i));
  return architecture;
}

NameTable decoder_names() {
  NameTable table;
  table.push_back({.role = Role::token_embedding, .name = "model.embed_tokens.weight"});
  add_module(table, Role::norm, "model.norm", false);
  table.push_back({.role = Role::head, .name = "lm_head.weight"});
  return table;
}

void add_norm(NameTable& table, const std::string& module, Place at) {
  add_module(table, Role::norm, kLayer + module, false, {.norm = at});
}

void add_attention(NameTable& table, const Architecture& architecture) {
  const AttentionSpec& spec = first_attention(architecture);
  add_module(table, Role::q, kLayer + "self_attn.q_proj", spec.qkv_bias);
  add_module(table, Role::k, kLayer + "self_attn.k_proj", spec.qkv_bias);
  add_module(table, Role::v, kLayer + "self_attn.v_proj", spec.qkv_bias);
  add_module(table, Role::attention_out, kLayer + "self_attn.o_proj", spec.out_bias);
  if (!spec.qk_norm) return;
  add_module(table, Role::q_norm, kLayer + "self_attn.q_norm", false);
  add_module(table, Role::k_norm, kLayer + "self_attn.k_norm", false);
}

void add_gated_mlp(NameTable& table, const std::string& module, bool bias) {
  add_module(table, Role::gate, kLayer + module + ".gate_proj", bias);
  add_module(table, Role::up, kLayer + module + ".up_proj", bias);
  add_module(table, Role::down, kLayer + module + ".down_proj", bias);
}

void add_norms_before(NameTable& table) {
  add_norm(table, "input_layernorm", {.join = 0});
  add_norm(table, "post_attention_layernorm", {.join = 1});
}

}  // namespace tplab
