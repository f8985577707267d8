// What the environment says of the launcher that started this process.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace tplab {

// What a variable of the environment says, or null: std::getenv, or a test's.
using Variables = std::function<const char*(const char* name)>;

// Of MPI's programs.
struct Launcher {
  std::string variable;  // that told: "OMPI_COMM_WORLD_SIZE"
  int size = 0;          // processes that it started; 0: it does not say
  int rank = 0;
  std::optional<int> local_rank = {};  // among those of this machine
};

// Of Open MPI's mpirun, MPICH's and others', or srun; none where none started this process.
std::optional<Launcher> find_launcher(const Variables& variables);

// Where the processes of a job meet that no MPI brings together.
struct JobPlace {
  int rank = 0, size = 1;
  std::optional<int> local_rank = {};
  std::string host = {};  // where rank 0 listens, or empty: by a file
  int port = 0;           // there
  std::string file = {};  // where rank 0 writes its address, or empty
  std::string by = {};    // "torchrun's variables (RANK, WORLD_SIZE)"
  uint64_t token = 0;     // of this job: two jobs on one port do not mistake each other

  bool says_where() const { return !file.empty() || (!host.empty() && port > 0); }
};

// By the variables of torchrun (RANK, WORLD_SIZE, LOCAL_RANK) or of the launchers above; none where
// no launcher speaks. Rank 0 is found at MASTER_ADDR and MASTER_PORT, or through the file that
// TPLAB_RENDEZVOUS names, on a disk that all see. Throws Error(usage) for what contradicts itself:
// a rank that is no number, or not below the size.
std::optional<JobPlace> find_job(const Variables& variables);

}  // namespace tplab
