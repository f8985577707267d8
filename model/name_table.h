// What programs call the parameters: a table each.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tplab {

struct ParameterId;
enum class Role;

// "<module>.weight" and "<module>.bias" of a role; "{}" in the module stands for the block. Where
// several roles share a module, they lie in its tensors one below the other, in the table's order.
struct NameRow {
  Role role;
  std::string_view module;
  int64_t join = 0;         // which of a block's norms
  bool transposed = false;  // its weight is [in, out], as transformers' Conv1D keeps it
};
using NameTable = std::span<const NameRow>;

NameTable nanogpt_names();  // also tplab's own, in its checkpoints, random streams and reports
NameTable gpt2_names();     // transformers' GPT2LMHeadModel

// Throws Error(usage) where the table has no such parameter.
const NameRow& name_row(NameTable names, const ParameterId& id);
std::string tensor_name(NameTable names, const ParameterId& id);

}  // namespace tplab
