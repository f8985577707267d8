// Numbers that ranks tell one another outside the model.
#pragma once

#include "sim/machine/rank.h"

namespace tplab {

// Rank 0's value, on every rank of the mesh. Clocks and signals differ from rank to rank, so that
// ranks which must decide alike decide by one rank's.
//   comm: 1 broadcast over each axis of the mesh, of 8 bytes
double from_rank_0(Rank& rank, double value);

// The sum over the ranks of a tensor-parallel group.   comm: 1 all-reduce of 8 bytes
double sum_over_ranks(Rank& rank, double value);

}  // namespace tplab
