// Falcon: the newer decoder (40B and 180B), whose branches have a norm each and whose queries share
// keys in groups, and the older (7B), with one norm before both and one key for all queries.
//   source: Almazrouei et al. 2023; huggingface/transformers modeling_falcon.py
#include <cmath>

#include "model/checkpoints/formats/decoder.h"

namespace tplab {

namespace {

// How many keys there are; multi_query: one, whatever num_kv_heads says.
int64_t falcon_kv_heads(const ConfigJson& config, bool newer, int64_t heads) {
  if (!newer) return config.flag("multi_query", true) ? 1 : heads;
  const int64_t kv_heads = config.size_or("num_kv_heads", heads);
  if (heads % kv_heads != 0) config.refuse("num_kv_heads", "a divisor of num_attention_heads");
  return kv_heads;
}

Architecture falcon_architecture(const ConfigJson& config) {
  const bool newer = config.flag("new_decoder_architecture", false);
  config.require("alibi", false);
  const int64_t width = config.size("hidden_size"), heads = config.size("num_attention_heads");
  if (width % heads != 0) config.refuse("hidden_size", "a multiple of num_attention_heads");
  const bool bias = config.flag("bias", false);
  const NormSpec norm{.kind = NormSpec::Kind::layer,
                      .eps = config.positive("layer_norm_epsilon", 1e-5),
                      .bias = true};
  const int64_t D = width / heads, context = config.size_or("max_position_embeddings", 2048);
  const AttentionSpec attention{.heads = heads,
                                .kv_heads = falcon_kv_heads(config, newer, heads),
                                .head_size = D,
                                .qkv_bias = bias,
                                .out_bias = bias,
                                .rope = read_rope(config, D, context),
                                .scale = 1 / std::sqrt(static_cast<double>(D))};
  const MlpSpec mlp{.width = config.size_or("ffn_hidden_size", 4 * width),
                    .activation = read_activation(config, "activation", "gelu"),
                    .bias = bias};
  const bool parallel = newer || config.flag("parallel_attn", true);
  const int64_t norms = config.size_or("num_ln_in_parallel_attn", newer ? 2 : 1);
  if (norms > 2) config.refuse("num_ln_in_parallel_attn", "1 or 2");
  std::vector<JoinSpec> block;
  if (!parallel)
    block = {{.branches = {{attention}}, .before = norm}, {.branches = {{mlp}}, .before = norm}};
  else if (norms == 2)
    block = {{.branches = {{attention, norm}, {mlp, norm}}}};
  else
    block = {{.branches = {{attention}, {mlp}}, .before = norm}};
  return {.width = width,
          .vocabulary = config.size("vocab_size"),
          .context = context,
          .positions = PositionKind::in_attention,
          .tied_head = config.flag("tie_word_embeddings", true),
          .blocks = std::vector(static_cast<size_t>(config.size("num_hidden_layers", kMostLayers)),
                                block),
          .final_norm = norm};
}

// q, k and v share a tensor, key by key: the queries of a key, then itself, then its value.
NameTable falcon_names(const Architecture& architecture) {
  const AttentionSpec& attention = first_attention(architecture);
  const MlpSpec& mlp = first_mlp(architecture);
  const std::vector<JoinSpec>& joins = architecture.blocks[0];
  const int64_t D = attention.head_size, queries = attention.group() * D, stride = queries + 2 * D;
  const std::string block = "transformer.h.{}.";
  NameTable table;
  table.push_back({.role = Role::token_embedding, .name = "transformer.word_embeddings.weight"});
  const auto norm = [&](const std::string& module, Place at) {
    add_module(table, Role::norm, block + module, true, {.norm = at});
  };
  if (joins.size() == 2) {
    norm("input_layernorm", {.join = 0});
    norm("post_attention_layernorm", {.join = 1});
  } else if (joins[0].before) {
    norm("input_layernorm", {});
  } else {
    norm("ln_attn", {.branch = 0, .slot = NormSlot::branch});
    norm("ln_mlp", {.branch = 1, .slot = NormSlot::branch});
  }
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
