#include "model/name_table.h"

#include <fmt/format.h>

#include "model/parameters.h"
#include "sim/error.h"

namespace tplab {

namespace {

constexpr std::string_view kBlock = "{}";

// source: karpathy/nanoGPT model.py
constexpr NameRow kNanoGpt[] = {
    {Role::token_embedding, "transformer.wte"},
    {Role::position_embedding, "transformer.wpe"},
    {Role::norm, "transformer.h.{}.ln_1", 0},
    {Role::q, "transformer.h.{}.attn.c_attn"},
    {Role::k, "transformer.h.{}.attn.c_attn"},
    {Role::v, "transformer.h.{}.attn.c_attn"},
    {Role::attention_out, "transformer.h.{}.attn.c_proj"},
    {Role::norm, "transformer.h.{}.ln_2", 1},
    {Role::mlp_up, "transformer.h.{}.mlp.c_fc"},
    {Role::mlp_down, "transformer.h.{}.mlp.c_proj"},
    {Role::norm, "transformer.ln_f"},
    {Role::head, "lm_head"},
};

// source: huggingface/transformers modeling_gpt2.py
constexpr NameRow kGpt2[] = {
    {Role::token_embedding, "transformer.wte"},
    {Role::position_embedding, "transformer.wpe"},
    {Role::norm, "transformer.h.{}.ln_1", 0},
    {Role::q, "transformer.h.{}.attn.c_attn", 0, true},
    {Role::k, "transformer.h.{}.attn.c_attn", 0, true},
    {Role::v, "transformer.h.{}.attn.c_attn", 0, true},
    {Role::attention_out, "transformer.h.{}.attn.c_proj", 0, true},
    {Role::norm, "transformer.h.{}.ln_2", 1},
    {Role::mlp_up, "transformer.h.{}.mlp.c_fc", 0, true},
    {Role::mlp_down, "transformer.h.{}.mlp.c_proj", 0, true},
    {Role::norm, "transformer.ln_f"},
    {Role::head, "lm_head"},
};

}  // namespace

NameTable nanogpt_names() { return kNanoGpt; }
NameTable gpt2_names() { return kGpt2; }

const NameRow& name_row(NameTable names, const ParameterId& id) {
  for (const NameRow& row : names) {
    const bool in_block = row.module.find(kBlock) != std::string_view::npos;
    if (row.role != id.role || in_block != id.at.in_block()) continue;
    if (row.role != Role::norm || row.join == id.at.join) return row;
  }
  fail("a parameter has no name in this format", "this is a bug in tplab: please report it");
}

std::string tensor_name(NameTable names, const ParameterId& id) {
  std::string name(name_row(names, id).module);
  if (const size_t at = name.find(kBlock); at != std::string::npos)
    name.replace(at, kBlock.size(), fmt::format("{}", id.at.block));
  return name + (id.bias ? ".bias" : ".weight");
}

}  // namespace tplab
