// OpenAI's gpt-oss: experts, sinks, windows in every other block.
//   source: huggingface/transformers modeling_gpt_oss.py
#include "model/checkpoints/formats/decoder.h"

namespace tplab {

namespace {

Architecture gpt_oss_architecture(const ConfigJson& config) {
  const NormSpec norm{.kind = NormSpec::Kind::rms, .eps = config.positive("rms_norm_eps", 1e-5)};
  config.require("hidden_act", "silu");
  if (config.has("quantization_config"))
    config.refuse("quantization_config", "absent: MXFP4 is not read yet");
  AttentionSpec attention = read_attention(config);
  attention.qkv_bias = attention.out_bias = config.flag("attention_bias", true);
  attention.sinks = true;
  const Gating clamped{Gating::Kind::clamped, config.number("swiglu_limit", 7),
                       config.number("swiglu_alpha", 1.702)};
  const ExpertsSpec experts{.each = {.width = config.size("intermediate_size"),
                                     .activation = ActivationKind::silu,
                                     .gating = clamped,
                                     .bias = true},
                            .count = config.size("num_local_experts"),
                            .active = config.size("num_experts_per_tok"),
                            .routing = {.softmax_over_chosen = true, .bias = true}};
  if (experts.active > experts.count)
    config.refuse("num_experts_per_tok", "at most num_local_experts");
  const std::vector<bool> windows = read_windows(config, [](int64_t i) { return i % 2 == 0; });
  return read_decoder(config, norm, [&](int64_t i) -> std::vector<JoinSpec> {
    attention.window = windows[static_cast<size_t>(i)] ? config.size("sliding_window") : 0;
    return {{.branches = {{attention}}, .before = norm}, {.branches = {{experts}}, .before = norm}};
  });
}

// Experts' matrices are [experts, in, out]; gate and up alternate in the last.
NameTable gpt_oss_names(const Architecture& architecture) {
  const std::string block = "model.layers.{}.";
  NameTable table = decoder_names();
  add_norms_before(table);
  add_attention(table, architecture);
  table.push_back({.role = Role::sinks, .name = block + "self_attn.sinks"});
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
  return table;
}

}  // namespace

Format gpt_oss_format() { return {"gpt_oss", gpt_oss_architecture, gpt_oss_names}; }

}  // namespace tplab
