// What dropout multiplies runs of consecutive numbers with.
#pragma once

#include <algorithm>
#include <cmath>

#include "sim/ops/operation.h"

namespace tplab::cpu {

// factors[i] = 0 where number first + i is dropped, else 1 / (1 - rate).
template <class Real>
void dropout_factors(const DropoutMask& mask, int64_t first, int64_t n, Real* factors) {
  constexpr int64_t kRun = 256;
  uint32_t random[kRun];
  const double limit = std::ceil(mask.rate * 0x1p32);  // < 2^32, since rate < 1
  const auto below = static_cast<uint32_t>(std::min(limit, 0x1p32 - 1));
  const auto kept = static_cast<Real>(1 / (1 - mask.rate));
  while (n > 0) {
    const int64_t skipped = first % 4, count = std::min(kRun - skipped, n);
    mask.stream.bits(static_cast<uint64_t>(first / 4), (skipped + count + 3) / 4, random);
    for (int64_t i = 0; i < count; ++i) factors[i] = random[skipped + i] < below ? Real(0) : kept;
    first += count;
    factors += count;
    n -= count;
  }
}

}  // namespace tplab::cpu
