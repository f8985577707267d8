// Google's Gemma 2 and 3: norms before and after that multiply by 1 + weight, windows in some
// blocks; 2 caps scores and logits, 3 has norms of queries and keys and two kinds of rotary
// positions.
//   source: Gemma Team 2024, 2025; huggingface/transformers modeling_gemma2.py, modeling_gemma3.py
#include <cmath>

#include "model/checkpoints/formats/decoder.h"

namespace tplab {

namespace {

NormSpec gemma_norm(const ConfigJson& config) {
  NormSpec norm = read_rms_norm(config);
  norm.plus_one = true;
  return norm;
}

AttentionSpec gemma_attention(const ConfigJson& config) {
  AttentionSpec attention{.heads = config.size("num_attention_heads"),
                          .kv_heads = config.size("num_key_value_heads"),
                          .head_size = config.size_or("head_dim", 256),
                          .scale = 1 / std::sqrt(config.positive("query_pre_attn_scalar", 256))};
  attention.qkv_bias = attention.out_bias = config.flag("attention_bias", false);
  if (attention.heads % attention.kv_heads != 0)
    config.refuse("num_key_value_heads", "a divisor of num_attention_heads");
  return attention;
}

// attention(i): of block i.
Architecture gemma_architecture(const ConfigJson& config,
                                const std::function<AttentionSpec(int64_t)>& attention) {
  const NormSpec norm = gemma_norm(config);
  MlpSpec mlp = read_gated_mlp(config);
  mlp.activation = read_activation(config, "hidden_activation", "gelu_pytorch_tanh");
  Architecture architecture = read_decoder(
      config, norm,
      [&](int64_t i) -> std::vector<JoinSpec> {
        return {{.branches = {{attention(i)}}, .before = norm, .after = norm},
                {.branches = {{mlp}}, .before = norm, .after = norm}};
      },
      true);
  architecture.embedding_scale = std::sqrt(static_cast<double>(architecture.width));
  return architecture;
}

Architecture gemma2_architecture(const ConfigJson& config) {
  AttentionSpec attention = gemma_attention(config);
  attention.rope = read_rope(config, attention.head_size, config.size("max_position_embeddings"));
  attention.softcap = config.number_or_none("attn_logit_softcapping", 50);
  // Without layer_types (transformers 4) every other block, from the first on, has the window.
  const std::vector<bool> windows = read_windows(config, [](int64_t i) { return i % 2 == 0; });
  Architecture architecture = gemma_architecture(config, [&](int64_t i) {
    attention.window = windows[static_cast<size_t>(i)] ? config.size_or("sliding_window", 4096) : 0;
    return attention;
  });
  architecture.logits_softcap = config.number_or_none("final_logit_softcapping", 30);
  return architecture;
}

// Of blocks with the window, and of the others.
struct Gemma3Ropes {
  Rope local, global;
};
Gemma3Ropes gemma3_ropes(const ConfigJson& config, int64_t head_size) {
  const int64_t context = config.size("max_position_embeddings");
  const auto read = [&](const ConfigJson& rope, double theta) {
    return read_rope_parameters(rope, rope.positive("rope_theta", theta), head_size, context);
  };
  if (config.has("rope_parameters")) {
    const ConfigJson ropes = config.object("rope_parameters");
    return {read(ropes.object("sliding_attention"), 1e4),
            read(ropes.object("full_attention"), 1e6)};
  }
  const double global = config.positive("rope_theta", 1e6);
  Gemma3Ropes ropes{{.theta = config.positive("rope_local_base_freq", 1e4), .rotated = head_size},
                    {.theta = global, .rotated = head_size}};
  if (config.has("rope_scaling")) ropes.global = read(config.object("rope_scaling"), global);
  return ropes;
}

Architecture gemma3_architecture(const ConfigJson& config) {
  AttentionSpec attention = gemma_attention(config);
  attention.qk_norm = QkNorm{gemma_norm(config)};
  attention.softcap = config.number_or_none("attn_logit_softcapping", 0);
  config.require("use_bidirectional_attention", false);
  const Gemma3Ropes ropes = gemma3_ropes(config, attention.head_size);
  const int64_t every = config.size_or("sliding_window_pattern", 6);  // one without a window
  const std::vector<bool> windows =
      read_windows(config, [&](int64_t i) { return (i + 1) % every != 0; });
  Architecture architecture = gemma_architecture(config, [&](int64_t i) {
    const bool local = windows[static_cast<size_t>(i)];
    attention.window = local ? config.size_or("sliding_window", 4096) : 0;
    attention.rope = local ? ropes.local : ropes.global;
    return attention;
  });
  architecture.logits_softcap = config.number_or_none("final_logit_softcapping", 0);
  return architecture;
}

NameTable gemma_names(const Architecture& architecture) {
  NameTable table = decoder_names();
  add_norm(table, "input_layernorm", {.join = 0});
  add_norm(table, "post_attention_layernorm", {.join = 0, .slot = NormSlot::after});
  add_norm(table, "pre_feedforward_layernorm", {.join = 1});
  add_norm(table, "post_feedforward_layernorm", {.join = 1, .slot = NormSlot::after});
  add_attention(table, architecture);
  add_gated_mlp(table, "mlp", false);
  return table;
}

}  // namespace

Format gemma2_format() { return {"gemma2", gemma2_architecture, gemma_names}; }
Format gemma3_format() { return {"gemma3_text", gemma3_architecture, gemma_names}; }

}  // namespace tplab
