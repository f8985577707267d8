// Runs programs under an MPI launcher, as a user does.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/run_tplab.h"

namespace tplab::testing {

// False where there is no MPI, or not this one; says what is skipped.
bool has_mpi();
bool has_mpich();

// mpirun -n PROCESSES WORD...
std::vector<std::string> under_mpi(int processes, std::vector<std::string> words);
// The same with the MPICH beside it, of words whose first is a program that is built with it.
std::vector<std::string> under_mpich(int processes, std::vector<std::string> words);
// For a launcher: as root, and with more processes than cores.
How launched();

// The command under the launcher, as it is (and with --comm mpi).
Ran tplab_under_mpi(int processes, std::vector<std::string> words);
// Leaves out of a report what is of the machine's speed or of how the command was called.
void forget_times(nlohmann::json& json);

// One of tests/mpi/cases.
Ran mpi_case(int processes, const std::string& name);
// The same, and then by sockets; what all processes said, and the worst exit code.
std::vector<Ran> case_by_each(int processes, const std::string& name);

// As torchrun starts them, with no MPI: each with its variables, and all with `env`.
class Job {
 public:
  Job(int processes, const std::vector<std::string>& words,
      const std::vector<std::string>& env = {});
  Started& process(int rank) { return *all_[static_cast<size_t>(rank)]; }
  std::vector<Ran> wait();  // by rank

 private:
  TemporaryFolder folder_;  // where they meet
  std::vector<std::unique_ptr<Started>> all_;
};

}  // namespace tplab::testing
