// A batch of token ids.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/array.h"

namespace tplab {

// ids: [B, T], row by row.
struct Tokens {
  int64_t batch = 0, length = 0;
  std::vector<int32_t> ids;
  Shape shape() const { return {batch, length}; }
};

}  // namespace tplab
