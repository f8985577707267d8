// MPI's own all-reduce, to hold ours against: for benchmarks alone.
#pragma once

#include <cstdint>

namespace tplab {

// Seconds a call of MPI_Allreduce of so many f32, of a batch of calls after a barrier.   REQUIRES:
// join_mpi
double raw_all_reduce_seconds(int64_t count, int64_t calls);

}  // namespace tplab
