// Google's Gemma 2: norms before and after, soft caps, windows in every other block.
//   source: Gemma Team 2024; huggingface/transformers modeling_gemma2.py
#include <cmath>

#include "model/checkpoints/formats/format.h"

namespace tplab {

namespace {

// Without layer_types (transformers 4) every other block, from the first on, has the window.
std::vector<bool> gemma2_windows(const ConfigJson& config) {
  std::vector<bool> windows(static_cast<size_t>(config.size("num_hidden_layers", kMostLayers)));
  if (!config.has("layer_types")) {
    for (size_t i = 0; i < windows.size(); ++i) windows[i] = i % 2 == 0;
    return windows;
  }
  const std::vector<std::string> kinds = config.texts("layer_types");
  if (kinds.size() != windows.size())
    config.refuse("layer_types", "a list of num_hidden_layers kinds");
  for (size_t i = 0; i < windows.size(); ++i) {
    windows[i] = kinds[i] == "sliding_attention";
    if (!windows[i] && kinds[i] != "full_attention")
      config.refuse("layer_types", "of sliding_attention and full_attention");
  }
  return windows;
}

Architecture gemma2_architecture(const ConfigJson& config) {
  const NormSpec norm{
      .kind = NormSpec::Kind::rms, .eps = config.positive("rms_norm_eps", 1e-6), .plus_one = true};
  const int64_t width = config.size("hidden_size"), D = config.size_or("head_dim", 256);
  Rope rope{.rotated = D};
  rope.theta = plain_theta(config);
  const double scalar = config.positive("query_pre_attn_scalar", 256);
  config.require("hidden_activation", "gelu_pytorch_tanh");
  const bool bias = config.flag("attention_bias", false);
  AttentionSpec attention{.heads = config.size("num_attention_heads"),
                          .kv_heads = config.size("num_key_value_heads"),
                          .head_size = D,
                          .qkv_bias = bias,
                          .out_bias = bias,
                          .rope = rope,
                          .scale = 1 / std::sqrt(scalar),
                          .softcap = config.number_or_none("attn_logit_softcapping", 50)};
  if (attention.heads % attention.kv_heads != 0)
    config.refuse("num_key_value_heads", "a divisor of num_attention_heads");
  const MlpSpec mlp{.width = config.size("intermediate_size"),
                    .activation = ActivationKind::gelu_tanh,
                    .gating = {.kind = Gating::Kind::gated}};
  Architecture architecture{.width = width,
                            .vocabulary = config.size("vocab_size"),
                            .context = config.size_or("max_position_embeddings", 8192),
                            .positions = PositionKind::in_attention,
                            .tied_head = config.flag("tie_word_embeddings", true),
                            .embedding_scale = std::sqrt(static_cast<double>(width)),
                            .logits_softcap = config.number_or_none("final_logit_softcapping", 30),
                            .final_norm = norm};
  for (const bool has_window : gemma2_windows(config)) {
    attention.window = has_window ? config.size_or("sliding_window", 4096) : 0;
    architecture.blocks.push_back({{.branches = {{attention}}, .before = norm, .after = norm},
                                   {.branches = {{mlp}}, .before = norm, .after = norm}});
  }
  return architecture;
}

NameTable gemma2_names(const Architecture& architecture) {
  const auto& attention = std::get<AttentionSpec>(architecture.blocks[0][0].branches[0].what);
  const std::string block = "model.layers.{}.";
  NameTable table;
  table.push_back({.role = Role::token_embedding, .name = "model.embed_tokens.weight"});
  const auto norm = [&](const std::string& module, Place at) {
    add_module(table, Role::norm, block + module, false, {.norm = at});
  };
  norm("input_layernorm", {.join = 0});
  add_module(table, Role::q, block + "self_attn.q_proj", attention.qkv_bias);
  add_module(table, Role::k, block + "self_attn.k_proj", attention.qkv_bias);
  add_module(table, Role::v, block + "self_attn.v_proj", attention.qkv_bias);
  add_module(table, Role::attention_out, block + "self_attn.o_proj", attention.out_bias);
  norm("post_attention_layernorm", {.join = 0, .slot = NormSlot::after});
  norm("pre_feedforward_layernorm", {.join = 1});
  add_module(table, Role::gate, block + "mlp.gate_proj", false);
  add_module(table, Role::up, block + "mlp.up_proj", false);
  add_module(table, Role::down, block + "mlp.down_proj", false);
  norm("post_feedforward_layernorm", {.join = 1, .slot = NormSlot::after});
  add_module(table, Role::norm, "model.norm", false);
  table.push_back({.role = Role::head, .name = "lm_head.weight"});
  return table;
}

}  // namespace

Format gemma2_format() { return {"gemma2", gemma2_architecture, gemma2_names}; }

}  // namespace tplab
