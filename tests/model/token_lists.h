// A dataset's part as numbers, for its tests.
#pragma once

#include <vector>

#include "model/training/dataset.h"

namespace tplab::testing {

inline std::vector<int32_t> all(const TokenList& tokens) {
  std::vector<int32_t> ids(static_cast<size_t>(tokens.size()));
  tokens.read(0, tokens.size(), ids.data());
  return ids;
}

}  // namespace tplab::testing
