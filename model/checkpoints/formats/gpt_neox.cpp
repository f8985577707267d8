// EleutherAI's GPT-NeoX and Pythia: attention and MLP read the same stream, and a part of each head
// is turned.
//   source: Black et al. 2022; huggingface/transformers modeling_gpt_neox.py
#include <cmath>

#include "model/checkpoints/formats/decoder.h"

namespace tplab {

namespace {

Rope gpt_neox_rope(const ConfigJson& config, int64_t head_size) {
  if (config.has("rope_parameters"))
    return read_rope(config, head_size, config.size("max_position_embeddings"));
  config.require("rope_scaling", nullptr);
  const double part = config.positive("rotary_pct", 0.25);
  return {.theta = config.positive("rotary_emb_base", 10'000),
          .rotated = static_cast<int64_t>(part * static_cast<double>(head_size))};
}

Architecture gpt_neox_architecture(const ConfigJson& config) {
  const NormSpec norm{
      .kind = NormSpec::Kind::layer, .eps = config.positive("layer_norm_eps", 1e-5), .bias = true};
  const int64_t width = config.size("hidden_size"), heads = config.size("num_attention_heads");
  if (width % heads != 0) config.refuse("hidden_size", "a multiple of num_attention_heads");
  const int64_t D = width / heads;
  const bool bias = config.flag("attention_bias", true);
  const AttentionSpec attention{.heads = heads,
                                .kv_heads = heads,
                                .head_size = D,
                                .qkv_bias = bias,
                                .out_bias = bias,
                                .rope = gpt_neox_rope(config, D),
                                .scale = 1 / std::sqrt(static_cast<double>(D))};
  const MlpSpec mlp{.width = config.size("intermediate_size"),
                    .activation = read_activation(config, "hidden_act", "gelu"),
                    .bias = true};
  const bool parallel = config.flag("use_parallel_residual", true);
  return read_decoder(config, norm, [&](int64_t) -> std::vector<JoinSpec> {
    if (parallel) return {{.branches = {{attention, norm}, {mlp, norm}}}};
    return {{.branches = {{attention}}, .before = norm}, {.branches = {{mlp}}, .before = norm}};
  });
}

// q, k and v share a tensor, head by head.
NameTable gpt_neox_names(const Architecture& architecture) {
  const AttentionSpec& attention = first_attention(architecture);
  const int64_t D = attention.head_size;
  const bool parallel = architecture.blocks[0].size() == 1;
  const std::string layer = "gpt_neox.layers.{}.";
  NameTable table;
  table.push_back({.role = Role::token_embedding, .name = "gpt_neox.embed_in.weight"});
  const auto norm = [&](const std::string& module, int64_t i) {
    add_module(
        table, Role::norm, layer + module, true,
        {.norm = parallel ? Place{.branch = i, .slot = NormSlot::branch} : Place{.join = i}});
  };
  norm("input_layernorm", 0);
  norm("post_attention_layernorm", 1);
  const auto piece = [&](Role role, int64_t offset) {
    add_module(table, role, layer + "attention.query_key_value", attention.qkv_bias,
               {.piece = {offset, D, 3 * D}});
  };
  piece(Role::q, 0);
  piece(Role::k, D);
  piece(Role::v, 2 * D);
  add_module(table, Role::attention_out, layer + "attention.dense", attention.out_bias);
  add_module(table, Role::up, layer + "mlp.dense_h_to_4h", true);
  add_module(table, Role::down, layer + "mlp.dense_4h_to_h", true);
  add_module(table, Role::norm, "gpt_neox.final_layer_norm", true);
  table.push_back({.role = Role::head, .name = "embed_out.weight"});
  return table;
}

}  // namespace

Format gpt_neox_format() { return {"gpt_neox", gpt_neox_architecture, gpt_neox_names}; }

}  // namespace tplab
