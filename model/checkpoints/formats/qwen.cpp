// Alibaba's Qwen 2 (biases of q, k, v), Qwen 3 (a norm of each query and key head) and Qwen 3 MoE.
//   source: Yang et al. 2024, 2025; huggingface/transformers modeling_qwen2.py, modeling_qwen3.py,
//           modeling_qwen3_moe.py
#include <algorithm>

#include "model/checkpoints/formats/decoder.h"

namespace tplab {

namespace {

// Of each block; with use_sliding_window those past the first max_window_layers have it.
std::vector<int64_t> qwen_windows(const ConfigJson& config) {
  const bool uses = config.flag("use_sliding_window", false);
  const int64_t window = uses ? config.size_or_none("sliding_window", 4096) : 0;
  const auto first = static_cast<int64_t>(config.number("max_window_layers", 28));
  std::vector<int64_t> windows;
  for (const bool has : read_windows(config, [&](int64_t i) { return uses && i >= first; }))
    windows.push_back(has ? window : 0);
  return windows;
}

Architecture qwen_architecture(const ConfigJson& config, const NormSpec& norm,
                               AttentionSpec attention,
                               const std::function<BranchSpec(int64_t)>& mlp) {
  const std::vector<int64_t> windows = qwen_windows(config);
  return read_decoder(config, norm, [&](int64_t i) -> std::vector<JoinSpec> {
    attention.window = windows[static_cast<size_t>(i)];
    return {{.branches = {{attention}}, .before = norm}, {.branches = {mlp(i)}, .before = norm}};
  });
}

Architecture qwen2_architecture(const ConfigJson& config) {
  AttentionSpec attention = read_attention(config);
  attention.qkv_bias = true;
  const MlpSpec mlp = read_gated_mlp(config);
  return qwen_architecture(config, read_rms_norm(config), attention,
                           [&](int64_t) { return BranchSpec{mlp}; });
}

AttentionSpec qwen3_attention(const ConfigJson& config) {
  AttentionSpec attention = read_attention(config);
  attention.qkv_bias = attention.out_bias = config.flag("attention_bias", false);
  attention.qk_norm = QkNorm{read_rms_norm(config)};
  return attention;
}

Architecture qwen3_architecture(const ConfigJson& config) {
  const MlpSpec mlp = read_gated_mlp(config);
  return qwen_architecture(config, read_rms_norm(config), qwen3_attention(config),
                           [&](int64_t) { return BranchSpec{mlp}; });
}

Architecture qwen3_moe_architecture(const ConfigJson& config) {
  const char* count = config.has("num_experts") ? "num_experts" : "num_local_experts";
  const ExpertsSpec experts{.each = read_gated_mlp(config, "moe_intermediate_size"),
                            .count = config.size(count),
                            .active = config.size("num_experts_per_tok"),
                            .routing = {.renormalise = config.flag("norm_topk_prob", false)}};
  if (experts.active > experts.count)
    config.refuse("num_experts_per_tok", std::string("at most ") + count);
  const MlpSpec mlp = read_gated_mlp(config);
  const int64_t step = config.size_or("decoder_sparse_step", 1);
  const std::vector<int64_t> dense = config.sizes("mlp_only_layers");
  return qwen_architecture(config, read_rms_norm(config), qwen3_attention(config), [&](int64_t i) {
    const bool is_dense = std::find(dense.begin(), dense.end(), i) != dense.end();
    return (i + 1) % step == 0 && !is_dense ? BranchSpec{experts} : BranchSpec{mlp};
  });
}

NameTable qwen_names(const Architecture& architecture) {
  NameTable table = decoder_names();
  add_norms_before(table);
  add_attention(table, architecture);
  add_gated_mlp(table, "mlp", false);
  return table;
}

NameTable qwen3_moe_names(const Architecture& architecture) {
  NameTable table = qwen_names(architecture);
  add_module(table, Role::router, "model.layers.{}.mlp.gate", false);
  add_gated_mlp(table, "mlp.experts.{e}", false);
  return table;
}

}  // namespace

Format qwen2_format() { return {"qwen2", qwen2_architecture, qwen_names}; }
Format qwen3_format() { return {"qwen3", qwen3_architecture, qwen_names}; }
Format qwen3_moe_format() { return {"qwen3_moe", qwen3_moe_architecture, qwen3_moe_names}; }

}  // namespace tplab
