// Ways to break a run's communication on purpose, for tests: its collectives then do something else
// than they were asked for, and a verifier has to notice.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "sim/transport.h"

namespace tplab {

class Rank;

// Called on each rank's own thread, by all ranks at once.
struct CommBreakage {
  // Before the rank shows its call to its peers, who may read and write its numbers from then on.
  std::function<void(Rank& rank, const Post& call)> before = {};
  // Instead of `honest`, which may be asked to do it. Returns the bytes that this rank sent.
  std::function<int64_t(Transport& honest, Rank& rank, const Post& call, const Array& in,
                        Array& out)>
      move = {};
};

// What does as the honest one, but for what is broken. A part of the group (split) is honest.
// REQUIRES: `breakage` and `rank` outlive what is returned.
std::unique_ptr<Agreement> broken(std::unique_ptr<Agreement> honest, Rank& rank,
                                  const CommBreakage& breakage);
std::unique_ptr<Transport> broken(std::unique_ptr<Transport> honest, Rank& rank,
                                  const CommBreakage& breakage);

}  // namespace tplab
