// What time it is on a rank: everything that a run measures is read from here.
#pragma once

#include <chrono>
#include <cstdint>

namespace tplab {

// Nanoseconds on this machine's steady clock, from some beginning.
inline int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// A rank's clock. Its ledger, its recorder and its trainer read no other, so that a run in virtual
// time is told as one in real time is. Called by any of the rank's threads.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t now_ns() const = 0;  // never less than before
};

class SteadyClock final : public Clock {
 public:
  int64_t now_ns() const override { return tplab::now_ns(); }
};

}  // namespace tplab
