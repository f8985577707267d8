#include "launch.h"

#include <catch2/catch.hpp>

namespace tplab::testing {

namespace {

std::vector<std::string> with(std::vector<std::string> launcher, int processes,
                              const std::vector<std::string>& words) {
  launcher.insert(launcher.end(), {"-n", std::to_string(processes)});
  launcher.insert(launcher.end(), words.begin(), words.end());
  return launcher;
}

bool is_there(const std::string& path, const char* what) {
  if (!path.empty() && std::filesystem::exists(path)) return true;
  WARN("skipped: this build has no " << what);
  return false;
}

}  // namespace

bool has_mpi() { return is_there(TPLAB_MPIRUN, "MPI"); }
bool has_mpich() { return is_there(TPLAB_MPICH_COMMAND, "MPICH beside its MPI"); }

std::vector<std::string> under_mpi(int processes, std::vector<std::string> words) {
  return with({TPLAB_MPIRUN}, processes, words);
}

std::vector<std::string> under_mpich(int processes, std::vector<std::string> words) {
  return with({TPLAB_MPICH_MPIRUN}, processes, words);
}

How launched() {
  return {.env = {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                  "OMPI_MCA_rmaps_base_oversubscribe=1", "OMPI_MCA_mpi_yield_when_idle=1",
                  "OMPI_MCA_orte_tmpdir_base=/tmp"}};
}

Ran tplab_under_mpi(int processes, std::vector<std::string> words) {
  words.insert(words.begin(), TPLAB_COMMAND);
  words.insert(words.end(), {"--comm", "mpi"});
  return Started(under_mpi(processes, std::move(words)), launched()).wait();
}

Ran mpi_case(int processes, const std::string& name) {
  return Started(under_mpi(processes, {TPLAB_MPI_CASES, name}), launched()).wait();
}

}  // namespace tplab::testing
