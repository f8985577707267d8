// OpenAI's gpt-oss: experts, sinks, windows in every other block.
//   source: huggingface/transformers modeling_gpt_oss.py
#include <cmath>

#include "model/checkpoints/formats/format.h"

namespace tplab {

namespace {

Rope gpt_oss_rope(const ConfigJson& config, int64_t head_size) {
  const bool is_new = config.has("rope_parameters");
  const ConfigJson scaling = config.object(is_new ? "rope_parameters" : "rope_scaling");
  const double theta = is_new ? scaling.positive("rope_theta") : config.positive("rope_theta");
  if (scaling.text("rope_type") != "yarn") scaling.refuse("rope_type", "yarn");
  return {.theta = theta,
          .rotated = head_size,
          .scaling = {.kind = Rope::Kind::yarn,
                      .factor = scaling.positive("factor"),
                      .beta_fast = scaling.positive("beta_fast", 32),
                      .beta_slow = scaling.positive("beta_slow", 1),
                      .truncate = scaling.flag("truncate", true),
                      .original_context = scaling.size("original_max_position_embeddings")}};
}

Architecture gpt_oss_architecture(const ConfigJson& config) {
  const NormSpec norm{.kind = NormSpec::Kind::rms, .eps = config.positive("rms_norm_eps", 1e-5)};
  config.require("hidden_act", "silu");
  if (config.has("quantization_config"))
    config.refuse("quantization_config", "absent: MXFP4 is not read yet");
  const int64_t D = config.size_or("head_dim", 64);
  const bool bias = config.flag("attention_bias", true);
  AttentionSpec attention{.heads = config.size("num_attention_heads"),
                          .kv_heads = config.size("num_key_value_heads"),
                          .head_size = D,
                          .qkv_bias = bias,
                          .out_bias = bias,
                          .rope = gpt_oss_rope(config, D),
                          .sinks = true,
                          .scale = 1 / std::sqrt(static_cast<double>(D))};
  if (attention.heads % attention.kv_heads != 0)
    config.refuse("num_key_value_heads", "a divisor of num_attention_heads");
  const Gating clamped{Gating::Kind::clamped, config.number("swiglu_limit", 7),
                       config.number("swiglu_alpha", 1.702)};
  const ExpertsSpec experts{.each = {.width = config.size("intermediate_size"),
                                     .activation = ActivationKind::silu,
                                     .gating = clamped,
                                     .bias = true},
                            .count = config.size("num_local_experts"),
                            .active = config.size("num_experts_per_tok"),
                            .routing = {.softmax_over_chosen = true, .bias = true}};
  Architecture architecture{.width = config.size("hidden_size"),
                            .vocabulary = config.size("vocab_size"),
                            .context = config.size_or("max_position_embeddings", 131'072),
                            .positions = PositionKind::in_attention,
                            .tied_head = config.flag("tie_word_embeddings", false),
                            .final_norm = norm};
  if (experts.active > experts.count)
    config.refuse("num_experts_per_tok", "at most num_local_experts");
  const std::vector<std::string> kinds = config.texts("layer_types");
  if (static_cast<int64_t>(kinds.size()) != config.size("num_hidden_layers", kMostLayers))
    config.refuse("layer_types", "a list of num_hidden_layers kinds");
  for (const std::string& kind : kinds) {
    if (kind != "sliding_attention" && kind != "full_attention")
      config.refuse("layer_types", "of sliding_attention and full_attention");
    attention.window = kind == "sliding_attention" ? config.size("sliding_window") : 0;
    architecture.blocks.push_back(
        {{.branches = {{attention}}, .before = norm}, {.branches = {{experts}}, .before = norm}});
  }
  return architecture;
}

// Experts' matrices are [experts, in, out]; gate and up alternate in the last.
NameTable gpt_oss_names(const Architecture& architecture) {
  const AttentionSpec& attention = first_attention(architecture);
  const std::string block = "model.layers.{}.";
  NameTable table;
  table.push_back({.role = Role::token_embedding, .name = "model.embed_tokens.weight"});
  add_module(table, Role::norm, block + "input_layernorm", false, {.norm = {.join = 0}});
  add_module(table, Role::q, block + "self_attn.q_proj", attention.qkv_bias);
  add_module(table, Role::k, block + "self_attn.k_proj", attention.qkv_bias);
  add_module(table, Role::v, block + "self_attn.v_proj", attention.qkv_bias);
  add_module(table, Role::attention_out, block + "self_attn.o_proj", attention.out_bias);
  table.push_back({.role = Role::sinks, .name = block + "self_attn.sinks"});
  add_module(table, Role::norm, block + "post_attention_layernorm", false, {.norm = {.join = 1}});
  add_module(table, Role::router, block + "mlp.router", true);
  const auto experts = [&](Role role, bool bias, const std::string& name, Piece rows) {
    table.push_back({.role = role,
                     .bias = bias,
                     .name = block + "mlp.experts." + name,
                     .transposed = !bias,
                     .all_experts = true,
                     .piece = rows});
  };
  for (const bool bias : {false, true}) {
    const std::string name = bias ? "gate_up_proj_bias" : "gate_up_proj";
    experts(Role::gate, bias, name, {0, 1, 2});
    experts(Role::up, bias, name, {1, 1, 2});
  }
  experts(Role::down, false, "down_proj", {});
  // [experts, C] in the file, [C, experts] as a product with the gates.
  table.push_back({.role = Role::down,
                   .bias = true,
                   .name = block + "mlp.experts.down_proj_bias",
                   .transposed = true});
  add_module(table, Role::norm, "model.norm", false);
  table.push_back({.role = Role::head, .name = "lm_head.weight"});
  return table;
}

}  // namespace

Format gpt_oss_format() { return {"gpt_oss", gpt_oss_architecture, gpt_oss_names}; }

}  // namespace tplab
