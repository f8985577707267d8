// What other programs call the things that tplab computes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/parameters.h"

namespace tplab {

class GoldenNames {
 public:
  explicit GoldenNames(const Architecture& architecture);

  // Our site for "activation.<name>" or "logits"; empty where it is neither, or no site of ours.
  std::string site_of(const std::string& tensor) const;
  // The shape of a parameter by nanoGPT's name; null where the model has none such.
  const Shape* shape_of(const std::string& parameter) const;
  // Why a name is not read: "tplab knows no such name: did you mean logits?"
  std::string why_unknown(const std::string& tensor) const;

 private:
  std::vector<std::string> sites_;
  std::map<std::string, Shape> parameters_;
};

// "after5.transformer.wte.weight": 5 steps, and the parameter's name; 0 steps where a name begins
// otherwise, negative ones as they are.
struct AfterName {
  bool is_after = false;
  int64_t steps = 0;
  std::string parameter;
};
AfterName parse_after(std::string_view name);

}  // namespace tplab
