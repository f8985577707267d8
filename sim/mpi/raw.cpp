#include "sim/mpi/raw.h"

#include <mpi.h>

#include <vector>

#include "sim/clock.h"

namespace tplab {

double raw_all_reduce_seconds(int64_t count, int64_t calls) {
  std::vector<float> x(static_cast<size_t>(count));
  MPI_Barrier(MPI_COMM_WORLD);
  const int64_t start = now_ns();
  for (int64_t i = 0; i < calls; ++i)
    MPI_Allreduce(MPI_IN_PLACE, x.data(), static_cast<int>(count), MPI_FLOAT, MPI_SUM,
                  MPI_COMM_WORLD);
  return static_cast<double>(now_ns() - start) * 1e-9 / static_cast<double>(calls);
}

}  // namespace tplab
