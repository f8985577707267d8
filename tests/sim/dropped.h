// What dropout is defined to drop.
#pragma once

#include "sim/ops/operation.h"

namespace tplab {

inline bool dropped(const DropoutMask& mask, int64_t number) {
  const auto i = static_cast<uint64_t>(number);
  return static_cast<double>(mask.stream.bits(i / 4)[i % 4]) < mask.rate * 0x1p32;
}

}  // namespace tplab
