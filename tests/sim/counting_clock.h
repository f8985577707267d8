// A clock for tests of what is measured by it.
#pragma once

#include "sim/clock.h"

namespace tplab {

// Goes on by `step` each time it is asked; by 0 it stands still.
class CountingClock final : public Clock {
 public:
  explicit CountingClock(int64_t step) : step_(step) {}
  int64_t now_ns() const override { return now_ += step_; }

 private:
  int64_t step_;
  mutable int64_t now_ = 0;
};

}  // namespace tplab
