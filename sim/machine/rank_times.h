// What a rank did with its time, by its ledger.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/machine/ledger.h"

namespace tplab {

struct RankTimes {
  int64_t computing_ns = 0;  // all that is neither of these
  int64_t waiting_ns = 0;    // for the other ranks of a collective to come
  int64_t moving_ns = 0;     // numbers: sending, receiving and adding them
  int64_t calls = 0;         // of collectives
  int64_t sent_bytes = 0;    // to other ranks

  int64_t total_ns() const { return computing_ns + waiting_ns + moving_ns; }
};

// events: all that were within `elapsed_ns`.
inline RankTimes rank_times(const std::vector<Event>& events, int64_t elapsed_ns) {
  RankTimes times;
  for (const Event& event : events) {
    times.waiting_ns += event.waiting_ns();
    times.moving_ns += event.moving_ns();
    times.sent_bytes += event.wire_bytes;
    ++times.calls;
  }
  times.computing_ns = elapsed_ns - times.waiting_ns - times.moving_ns;
  return times;
}

}  // namespace tplab
