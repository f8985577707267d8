#include "cli/launched.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "cli/machine_facts.h"
#if TPLAB_HAS_MPI
#include "sim/mpi/join.h"
#endif

namespace tplab::cli {

namespace {

[[maybe_unused]] bool asks_for_mpi(const std::vector<std::string>& words) {
  if (std::find(words.begin(), words.end(), "--comm=mpi") != words.end()) return true;
  const auto option = std::find(words.begin(), words.end(), "--comm");
  return option != words.end() && std::next(option) != words.end() && *std::next(option) == "mpi";
}

}  // namespace

void Launched::join([[maybe_unused]] const std::vector<std::string>& words) {
#if TPLAB_HAS_MPI
  if (!asks_for_mpi(words)) return;
  all_ = join_mpi(program_version());
  set_processes(all_.get());
  if (!is_first_process()) silence();
#endif
}

Ending Launched::leave(const Ending& mine) {
  if (!all_) return mine;
  Ending all = all_->leave(mine);
  speak_again();
  return all;
}

Launched::~Launched() {
  std::fflush(stderr);
  set_processes(nullptr);
}

void Launched::silence() {
  std::fflush(stdout);
  stdout_ = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  stderr_ = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere < 0) return;
  dup2(nowhere, STDOUT_FILENO);
  dup2(nowhere, STDERR_FILENO);
  close(nowhere);
}

void Launched::speak_again() {
  if (stderr_ < 0) return;
  std::fflush(stdout);
  std::fflush(stderr);
  dup2(stdout_, STDOUT_FILENO);
  dup2(stderr_, STDERR_FILENO);
  close(stdout_);
  close(stderr_);
}

}  // namespace tplab::cli
