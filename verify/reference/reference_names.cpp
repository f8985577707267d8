#include "verify/reference/reference_names.h"

#include <fmt/format.h>

namespace tplab::dense {

Names::Names(const Architecture& architecture)
    : gpt_(architecture.family == "gpt2"), tied_(architecture.tied_head) {}

std::string Names::token_table() const {
  return gpt_ ? "transformer.wte.weight" : "embedding.weight";
}

std::string Names::position_table() const {
  return gpt_ ? "transformer.wpe.weight" : "positions.weight";
}

std::string Names::head() const {
  if (tied_) return token_table();
  return gpt_ ? "lm_head.weight" : "head.weight";
}

std::string Names::final_norm() const { return gpt_ ? "transformer.ln_f" : "norm"; }

std::string Names::norm(int64_t block, size_t join, NormPlace place, size_t branch) const {
  if (gpt_) return fmt::format("transformer.h.{}.ln_{}", block, join + 1);
  std::string name = fmt::format("blocks.{}.norm_{}", block, join);
  if (place == NormPlace::branch) name += fmt::format("_{}", branch);
  if (place == NormPlace::after) name += "_after";
  return name;
}

std::vector<std::string> Names::qkv(int64_t block) const {
  if (gpt_) return {in_block(block, "attn.c_attn")};
  return {in_block(block, "q"), in_block(block, "k"), in_block(block, "v")};
}

std::vector<std::string> Names::up(int64_t block, const MlpSpec& spec, int64_t expert) const {
  if (spec.gating.kind == Gating::Kind::none) return {in_block(block, "up", expert)};
  return {in_block(block, "gate", expert), in_block(block, "up", expert)};
}

std::string Names::in_block(int64_t block, const std::string& what, int64_t expert) const {
  if (gpt_) {
    const std::string name = what == "attention_out" ? "attn.c_proj"
                             : what == "up"          ? "mlp.c_fc"
                             : what == "down"        ? "mlp.c_proj"
                                                     : what;
    return fmt::format("transformer.h.{}.{}", block, name);
  }
  if (expert != kNone) return fmt::format("blocks.{}.experts.{}.{}", block, expert, what);
  return fmt::format("blocks.{}.{}", block, what);
}

}  // namespace tplab::dense
