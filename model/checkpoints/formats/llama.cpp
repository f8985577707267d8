// Meta's Llama 2, 3 and 3.1, CodeLlama, and Mistral, which has windows.
//   source: Touvron et al. 2023; Jiang et al. 2023; huggingface/transformers modeling_llama.py,
//           modeling_mistral.py
#include "model/checkpoints/formats/decoder.h"

namespace tplab {

namespace {

Architecture llama_architecture(const ConfigJson& config) {
  const NormSpec norm = read_rms_norm(config);
  AttentionSpec attention = read_attention(config);
  attention.qkv_bias = attention.out_bias = config.flag("attention_bias", false);
  MlpSpec mlp = read_gated_mlp(config);
  mlp.bias = config.flag("mlp_bias", false);
  return read_decoder(config, norm, [&](int64_t) -> std::vector<JoinSpec> {
    return {{.branches = {{attention}}, .before = norm}, {.branches = {{mlp}}, .before = norm}};
  });
}

Architecture mistral_architecture(const ConfigJson& config) {
  const NormSpec norm = read_rms_norm(config);
  AttentionSpec attention = read_attention(config);
  attention.window = config.size_or_none("sliding_window", 4096);
  const MlpSpec mlp = read_gated_mlp(config);
  return read_decoder(config, norm, [&](int64_t) -> std::vector<JoinSpec> {
    return {{.branches = {{attention}}, .before = norm}, {.branches = {{mlp}}, .before = norm}};
  });
}

NameTable llama_names(const Architecture& architecture) {
  NameTable table = decoder_names();
  add_norms_before(table);
  add_attention(table, architecture);
  add_gated_mlp(table, "mlp", first_mlp(architecture).bias);
  return table;
}

}  // namespace

Format llama_format() { return {"llama", llama_architecture, llama_names}; }
Format mistral_format() { return {"mistral", mistral_architecture, llama_names}; }

}  // namespace tplab
