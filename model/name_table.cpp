#include "model/name_table.h"

#include <fmt/format.h>

#include <utility>

#include "sim/error.h"

namespace tplab {

namespace {

constexpr std::string_view kBlock = "{}", kExpert = "{e}";

// source: karpathy/nanoGPT model.py; huggingface/transformers modeling_gpt2.py
NameTable gpt_names(bool transposed) {
  NameTable table;
  const auto linear = [&](Role role, const std::string& module) {
    add_module(table, role, "transformer.h.{}." + module, true, {.transposed = transposed});
  };
  const auto norm = [&](const std::string& module, Place at) {
    add_module(table, Role::norm, module, true, {.norm = at});
  };
  table.push_back({.role = Role::token_embedding, .name = "transformer.wte.weight"});
  table.push_back({.role = Role::position_embedding, .name = "transformer.wpe.weight"});
  norm("transformer.h.{}.ln_1", {.join = 0});
  for (const Role role : {Role::q, Role::k, Role::v}) linear(role, "attn.c_attn");
  linear(Role::attention_out, "attn.c_proj");
  norm("transformer.h.{}.ln_2", {.join = 1});
  linear(Role::up, "mlp.c_fc");
  linear(Role::down, "mlp.c_proj");
  norm("transformer.ln_f", {});
  table.push_back({.role = Role::head, .name = "lm_head.weight"});
  return table;
}

bool is_same_norm(const Place& a, const Place& b) {
  return a.join == b.join && a.branch == b.branch && a.slot == b.slot;
}

}  // namespace

void add_module(NameTable& table, Role role, const std::string& module, bool bias,
                const NameRow& like) {
  NameRow row = like;
  row.role = role;
  row.name = module + ".weight";
  table.push_back(row);
  if (!bias) return;
  row.bias = true;
  row.transposed = false;
  row.name = module + ".bias";
  table.push_back(row);
}

const NameRow& name_row(const NameTable& names, const ParameterId& id) {
  for (const NameRow& row : names) {
    if (row.role != id.role || row.bias != id.bias) continue;
    const bool in_block = row.name.find(kBlock) != std::string::npos;
    if (in_block != id.at.in_block()) continue;
    const bool of_expert = row.all_experts || row.name.find(kExpert) != std::string::npos;
    if (of_expert != (id.at.expert != Place::kNoExpert)) continue;
    if (id.role != Role::norm || !in_block || is_same_norm(row.norm, id.at)) return row;
  }
  throw Error(ErrorKind::run, text(id) + " has no name in this format",
              "this is a bug in tplab: please report it");
}

std::string tensor_name(const NameRow& row, const ParameterId& id) {
  std::string name = row.name;
  for (const auto& [mark, number] : {std::pair(kBlock, id.at.block), {kExpert, id.at.expert}})
    if (const size_t at = name.find(mark); at != std::string::npos)
      name.replace(at, mark.size(), fmt::format("{}", number));
  return name;
}

const NameTable& nanogpt_names() {
  static const NameTable table = gpt_names(false);
  return table;
}

const NameTable& gpt2_names() {
  static const NameTable table = gpt_names(true);
  return table;
}

}  // namespace tplab
