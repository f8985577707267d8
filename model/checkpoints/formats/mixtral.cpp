// Mistral's Mixtral: experts in the MLP's place.
//   source: Jiang et al. 2024; huggingface/transformers modeling_mixtral.py
#include "model/checkpoints/formats/decoder.h"

namespace tplab {

namespace {

Architecture mixtral_architecture(const ConfigJson& config) {
  const NormSpec norm = read_rms_norm(config);
  AttentionSpec attention = read_attention(config);
  attention.window = config.size_or_none("sliding_window", 0);
  const ExpertsSpec experts{.each = read_gated_mlp(config),
                            .count = config.size("num_local_experts"),
                            .active = config.size("num_experts_per_tok"),
                            .routing = {.renormalise = true}};
  if (experts.active > experts.count)
    config.refuse("num_experts_per_tok", "at most num_local_experts");
  return read_decoder(config, norm, [&](int64_t) -> std::vector<JoinSpec> {
    return {{.branches = {{attention}}, .before = norm}, {.branches = {{experts}}, .before = norm}};
  });
}

NameTable mixtral_names(const Architecture& architecture) {
  NameTable table = decoder_names();
  add_norms_before(table);
  add_attention(table, architecture);
  const std::string moe = "model.layers.{}.block_sparse_moe.";
  add_module(table, Role::router, moe + "gate", false);
  add_module(table, Role::gate, moe + "experts.{e}.w1", false);
  add_module(table, Role::up, moe + "experts.{e}.w3", false);
  add_module(table, Role::down, moe + "experts.{e}.w2", false);
  return table;
}

}  // namespace

Format mixtral_format() { return {"mixtral", mixtral_architecture, mixtral_names}; }

}  // namespace tplab
