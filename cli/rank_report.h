// What `tplab monitor --preset` shows of virtual ranks: memory, and what they did with their time.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sim/machine/mesh.h"
#include "viz/recording/recorded_step.h"

namespace tplab::cli {

struct RanksReport {
  Mesh mesh;
  int64_t steps = 1;
  std::vector<WatchedRank> ranks;  // by global index

  // A row a rank, times and bytes those of a step on average.
  std::string text(bool colour, int columns) const;
  // Of all steps together: {"steps", "ranks": [...]}.
  nlohmann::ordered_json json() const;
  std::string csv() const;
};

}  // namespace tplab::cli
