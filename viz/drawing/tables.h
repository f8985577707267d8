// Tables of what ran and what was planned: every number from a ledger or a shard plan.
#pragma once

#include <string>
#include <vector>

#include "model/shard_plan.h"
#include "sim/machine/world.h"
#include "viz/drawing/table.h"

namespace tplab {

// Collectives a module: one row for each top-level site ("embed", "block 0", ...), runs of blocks
// that communicate alike folded into one, and a total. Bytes are those of rank 0.
Table ledger_table(const std::vector<Event>& events);

// What each rank of a run holds and needed.
struct MemoryOfRun {
  const ShardPlan& plan;
  DType dtype;
  const std::vector<RankRecord>& ranks;
};
// A row a rank: its weights, padding included, their share of the model's, and its device's peak.
// Ranks that are alike are folded into one row.
Table memory_table(const std::vector<MemoryOfRun>& runs);

// Every parameter: global shape, how it is split, what a rank holds (the first, if not all hold as
// much). Blocks that are alike are folded into one.
Table shard_table(const ShardPlan& plan, DType dtype);

}  // namespace tplab
