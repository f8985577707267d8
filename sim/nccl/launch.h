// Which process of a job this is, by what its launcher left in the environment.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace tplab {

struct JobPlace {
  int rank = 0, size = 1;
  int local_rank = 0;     // among the processes of this host: which of its GPUs is this one's
  std::string host = {};  // where rank 0 listens, or empty: by a file
  int port = 0;           // there
  std::string file = {};  // where rank 0 writes its address, or empty
  std::string by = {};    // "torchrun's variables (RANK, WORLD_SIZE, ...)"
  uint64_t token = 0;     // of this job: two jobs on one port do not mistake each other
};

// What a variable of the environment says, or null: std::getenv, or a test's.
using Variables = std::function<const char*(const char* name)>;

// Of torchrun (RANK, WORLD_SIZE, LOCAL_RANK), srun (SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID) or
// mpirun (OMPI_COMM_WORLD_*, PMI_*), the first of them that speaks of more than one process; none
// where no launcher speaks. Rank 0 is found at MASTER_ADDR and MASTER_PORT, or through the file
// that TPLAB_RENDEZVOUS names, on a disk that all see. Throws Error(usage) for what contradicts
// itself: a rank that is no number, or not below the size.
std::optional<JobPlace> launched_by(const Variables& variables);

}  // namespace tplab
