// Microsoft's Phi-3: q, k and v are one tensor, and so are gate and up.
//   source: Abdin et al. 2024; huggingface/transformers modeling_phi3.py
#include "model/checkpoints/formats/decoder.h"

namespace tplab {

namespace {

Architecture phi3_architecture(const ConfigJson& config) {
  const NormSpec norm = read_rms_norm(config);
  AttentionSpec attention = read_attention(config);
  attention.qkv_bias = attention.out_bias = config.flag("attention_bias", false);
  attention.window = config.size_or_none("sliding_window", 0);
  const MlpSpec mlp = read_gated_mlp(config);
  return read_decoder(config, norm, [&](int64_t) -> std::vector<JoinSpec> {
    return {{.branches = {{attention}}, .before = norm}, {.branches = {{mlp}}, .before = norm}};
  });
}

NameTable phi3_names(const Architecture& architecture) {
  const AttentionSpec& attention = first_attention(architecture);
  const int64_t q = attention.heads * attention.head_size;
  const int64_t k = attention.kv_heads * attention.head_size;
  const std::string layer = "model.layers.{}.", qkv = layer + "self_attn.qkv_proj";
  NameTable table = decoder_names();
  add_norms_before(table);
  add_module(table, Role::q, qkv, attention.qkv_bias);
  add_module(table, Role::k, qkv, attention.qkv_bias, {.piece = {.offset = q}});
  add_module(table, Role::v, qkv, attention.qkv_bias, {.piece = {.offset = q + k}});
  add_module(table, Role::attention_out, layer + "self_attn.o_proj", attention.out_bias);
  add_module(table, Role::gate, layer + "mlp.gate_up_proj", false);
  add_module(table, Role::up, layer + "mlp.gate_up_proj", false,
             {.piece = {.offset = first_mlp(architecture).width}});
  add_module(table, Role::down, layer + "mlp.down_proj", false);
  return table;
}

}  // namespace

Format phi3_format() { return {"phi3", phi3_architecture, phi3_names}; }

}  // namespace tplab
