#include "sim/mpi/launcher.h"

#include <cstdlib>

namespace tplab {

std::optional<Launcher> find_launcher(const std::function<const char*(const char*)>& get) {
  struct Names {
    const char *size, *rank;
  };
  // Open MPI's mpirun; MPICH's, Intel's and others' of PMI; srun. (An allocation alone, without
  // srun, sets SLURM_NTASKS too, and starts nothing.)
  constexpr Names kLaunchers[] = {{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                  {"PMI_SIZE", "PMI_RANK"},
                                  {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"},
                                  {"PMIX_SIZE", "PMIX_RANK"}};
  const auto number = [&](const char* name) {
    const char* const text = get(name);
    return text ? std::atoi(text) : 0;
  };
  for (const Names& names : kLaunchers) {
    if (get(names.size)) return Launcher{names.size, number(names.size), number(names.rank)};
  }
  if (get("PMIX_RANK")) return Launcher{"PMIX_RANK", 0, number("PMIX_RANK")};
  return {};
}

}  // namespace tplab
