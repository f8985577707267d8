// Falcon with the newer decoder: 40B and 180B.
//   source: Almazrouei et al. 2023; huggingface/transformers modeling_falcon.py
#include <cmath>

#include "model/checkpoints/formats/format.h"

namespace tplab {

namespace {

// x + attention(ln_attn(x)) + mlp(ln_mlp(x)): one join, whose branches have a norm each.
Architecture falcon_architecture(const ConfigJson& config) {
  if (!config.flag("new_decoder_architecture", false))
    config.refuse("new_decoder_architecture", "true: Falcon-7B's decoder is not read yet");
  config.require("num_ln_in_parallel_attn", 2);
  config.require("alibi", false);
  config.require("activation", "gelu");
  const int64_t width = config.size("hidden_size"), heads = config.size("num_attention_heads");
  if (width % heads != 0) config.refuse("hidden_size", "a multiple of num_attention_heads");
  const bool bias = config.flag("bias", false);
  const NormSpec norm{.kind = NormSpec::Kind::layer,
                      .eps = config.positive("layer_norm_epsilon", 1e-5),
                      .bias = true};
  const int64_t D = width / heads;
  Rope rope{.rotated = D};
  rope.theta = plain_theta(config);
  const AttentionSpec attention{.heads = heads,
                                .kv_heads = config.size_or("num_kv_heads", heads),
                                .head_size = D,
                                .qkv_bias = bias,
                                .out_bias = bias,
                                .rope = rope,
                                .scale = 1 / std::sqrt(static_cast<double>(D))};
  if (heads % attention.kv_heads != 0)
    config.refuse("num_kv_heads", "a divisor of num_attention_heads");
  const MlpSpec mlp{.width = config.size_or("ffn_hidden_size", 4 * width), .bias = bias};
  const JoinSpec join{.branches = {{attention, norm}, {mlp, norm}}};
  return {.width = width,
          .vocabulary = config.size("vocab_size"),
          .context = config.size_or("max_position_embeddings", 2048),
          .positions = PositionKind::in_attention,
          .tied_head = config.flag("tie_word_embeddings", true),
          .blocks = std::vector<std::vector<JoinSpec>>(
              static_cast<size_t>(config.size("num_hidden_layers", kMostLayers)), {join}),
          .final_norm = norm};
}

// q, k and v share a tensor, key by key: the queries of a key, then itself, then its value.
NameTable falcon_names(const Architecture& architecture) {
  const auto& attention = std::get<AttentionSpec>(architecture.blocks[0][0].branches[0].what);
  const auto& mlp = std::get<MlpSpec>(architecture.blocks[0][0].branches[1].what);
  const int64_t D = attention.head_size, queries = attention.group() * D, stride = queries + 2 * D;
  const std::string block = "transformer.h.{}.";
  NameTable table;
  table.push_back({.role = Role::token_embedding, .name = "transformer.word_embeddings.weight"});
  const auto norm = [&](const std::string& module, int64_t branch) {
    add_module(table, Role::norm, module, true,
               {.norm = {.branch = branch, .slot = NormSlot::branch}});
  };
  norm(block + "ln_attn", 0);
  norm(block + "ln_mlp", 1);
  const auto piece = [&](Role role, Piece rows) {
    add_module(table, role, block + "self_attention.query_key_value", attention.qkv_bias,
               {.piece = rows});
  };
  piece(Role::q, {0, queries, stride});
  piece(Role::k, {queries, D, stride});
  piece(Role::v, {queries + D, D, stride});
  add_module(table, Role::attention_out, block + "self_attention.dense", attention.out_bias);
  add_module(table, Role::up, block + "mlp.dense_h_to_4h", mlp.bias);
  add_module(table, Role::down, block + "mlp.dense_4h_to_h", mlp.bias);
  add_module(table, Role::norm, "transformer.ln_f", true);
  table.push_back({.role = Role::head, .name = "lm_head.weight"});
  return table;
}

}  // namespace

Format falcon_format() { return {"falcon", falcon_architecture, falcon_names}; }

}  // namespace tplab
