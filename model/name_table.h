// What a program calls the parameters, and how it stores them: a table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/parameters.h"

namespace tplab {

// Which rows of a tensor a parameter's are, where several share it: `length` of every `stride`,
// from `offset` on. GPT-2's K begins at C; of Falcon's [keys][its queries, k, v] k is D rows of
// every (group + 2) D. A length of 0 stands for all, one after another.
struct Piece {
  int64_t offset = 0, length = 0, stride = 0;

  int64_t row(int64_t i) const {
    return length == 0 ? offset + i : offset + i / length * stride + i % length;
  }
};

struct NameRow {
  Role role = Role::norm;
  bool bias = false;
  std::string name = {};     // "{}" stands for the block, "{e}" for the expert
  Place norm = {};           // of a norm in a block: which join's, which branch's, which slot's
  bool transposed = false;   // [in, out], as transformers' Conv1D keeps it
  bool all_experts = false;  // of all experts, which its first dimension counts
  Piece piece = {};
};
using NameTable = std::vector<NameRow>;

// The weight's row, and its bias' where there is one, of "<module>.weight" and "<module>.bias".
// like: what else the rows say.
void add_module(NameTable& table, Role role, const std::string& module, bool bias,
                const NameRow& like = {});

// Throws Error(run) where the table has no such parameter.
const NameRow& name_row(const NameTable& names, const ParameterId& id);
std::string tensor_name(const NameRow& row, const ParameterId& id);

// nanoGPT's, which are also tplab's own for a GPT: in checkpoints, random streams and reports.
const NameTable& nanogpt_names();
// transformers' GPT2LMHeadModel: the same, and weights in blocks are transposed.
const NameTable& gpt2_names();

}  // namespace tplab
