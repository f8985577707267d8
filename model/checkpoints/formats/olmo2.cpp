// Ai2's OLMo 2: norms after attention and MLP and none before, and one norm of all query heads at
// once, and one of all key heads.
//   source: OLMo Team 2024; huggingface/transformers modeling_olmo2.py
#include "model/checkpoints/formats/decoder.h"

namespace tplab {

namespace {

Architecture olmo2_architecture(const ConfigJson& config) {
  const NormSpec norm = read_rms_norm(config);
  AttentionSpec attention = read_attention(config);
  attention.qkv_bias = attention.out_bias = config.flag("attention_bias", false);
  attention.qk_norm = QkNorm{norm, true};
  const MlpSpec mlp = read_gated_mlp(config);
  return read_decoder(config, norm, [&](int64_t) -> std::vector<JoinSpec> {
    return {{.branches = {{attention}}, .after = norm}, {.branches = {{mlp}}, .after = norm}};
  });
}

NameTable olmo2_names(const Architecture& architecture) {
  NameTable table = decoder_names();
  add_norm(table, "post_attention_layernorm", {.join = 0, .slot = NormSlot::after});
  add_norm(table, "post_feedforward_layernorm", {.join = 1, .slot = NormSlot::after});
  add_attention(table, architecture);
  add_gated_mlp(table, "mlp", false);
  return table;
}

}  // namespace

Format olmo2_format() { return {"olmo2", olmo2_architecture, olmo2_names}; }

}  // namespace tplab
