// What the files of most decoders since Llama have in common: keys of config.json, and names.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "model/checkpoints/formats/format.h"

namespace tplab {

// Rotary positions of heads of this size, in transformers 5's spelling (rope_parameters) or an
// older one's (rope_theta, rope_scaling), of which a part may be turned (partial_rotary_factor).
// context: what was trained, where a scaling does not say. Refuses kinds of scaling that tplab does
// not know.
Rope read_rope(const ConfigJson& config, int64_t head_size, int64_t context);
// The same of `rope`, in rope_parameters' spelling; or one block's of several.
Rope read_rope_parameters(const ConfigJson& rope, double theta, int64_t rotated, int64_t context);

// "silu", "gelu", "gelu_new", ... as transformers' ACT2FN has them.
ActivationKind read_activation(const ConfigJson& config, const char* key,
                               const std::string& otherwise);

// num_attention_heads, num_key_value_heads (all, if it is not there), head_dim, positions, and the
// scale 1/sqrt(head_dim).
AttentionSpec read_attention(const ConfigJson& config);
// intermediate_size, or another key; gated by hidden_act.
MlpSpec read_gated_mlp(const ConfigJson& config, const char* width = "intermediate_size");
NormSpec read_rms_norm(const ConfigJson& config);

// Of each block whether it has the sliding window: by layer_types, or where that is not there, by
// `otherwise`.
std::vector<bool> read_windows(const ConfigJson& config,
                               const std::function<bool(int64_t layer)>& otherwise);

// Blocks of attention and then an MLP or experts, each behind a norm: block(i) gives the two.
// Positions are in attention.
using BlockOf = std::function<std::vector<JoinSpec>(int64_t layer)>;
Architecture read_decoder(const ConfigJson& config, const NormSpec& norm, const BlockOf& block,
                          bool tied = false);

// "model.embed_tokens", "model.norm" and "lm_head".
NameTable decoder_names();
// "model.layers.{}.<module>.weight", a norm.
void add_norm(NameTable& table, const std::string& module, Place at);
// q_proj, k_proj, v_proj, o_proj and, where the first block has them, q_norm and k_norm.
void add_attention(NameTable& table, const Architecture& architecture);
// gate_proj, up_proj and down_proj of "model.layers.{}.<module>".
void add_gated_mlp(NameTable& table, const std::string& module, bool bias);
// input_layernorm before attention, post_attention_layernorm before what follows.
void add_norms_before(NameTable& table);

}  // namespace tplab
