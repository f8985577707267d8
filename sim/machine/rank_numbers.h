// One number a rank, told to the others outside the model: of clocks, signals and sizes, which
// differ from rank to rank, where all must decide alike.
#pragma once

#include "sim/machine/rank.h"

namespace tplab {

// Rank 0's value, on every rank of the mesh.   comm: 1 broadcast of 8 bytes over each axis
double from_rank_0(Rank& rank, double value);

// The greatest value of all ranks of the mesh, and the least.
//   comm: 1 all-reduce of 8 bytes over each axis
double most_of_ranks(Rank& rank, double value);
double least_of_ranks(Rank& rank, double value);

// The sum over the ranks of a tensor-parallel group.   comm: 1 all-reduce of 8 bytes
double sum_over_group(Rank& rank, double value);

}  // namespace tplab
