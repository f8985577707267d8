// What the reference calls the parameters: nanoGPT's names for a GPT, tplab's for other families.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/architecture.h"

namespace tplab::dense {

enum class NormPlace { before, branch, after };  // of a join; a branch's own is before it

class Names {
 public:
  static constexpr int64_t kNone = -1;  // of no expert

  explicit Names(const Architecture& architecture);

  // With ".weight".
  std::string token_table() const;
  std::string position_table() const;
  std::string head() const;  // the token table where that is it

  // Without ".weight" and ".bias". A norm's join and branch count from 0.
  std::string final_norm() const;
  std::string norm(int64_t block, size_t join, NormPlace place, size_t branch = 0) const;
  // Linear layers of one input, whose outputs lie side by side.
  std::vector<std::string> qkv(int64_t block) const;
  std::vector<std::string> up(int64_t block, const MlpSpec& spec, int64_t expert = kNone) const;
  // Any other of a block: "attention_out", "down", "router", "q_norm", ...
  std::string in_block(int64_t block, const std::string& what, int64_t expert = kNone) const;

 private:
  bool gpt_, tied_;
};

}  // namespace tplab::dense
