#include "cli/launched.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>

#include "cli/command.h"
#include "cli/machine_facts.h"
#include "sim/error.h"
#if TPLAB_HAS_MPI
#include "sim/mpi/join.h"
#include "sim/mpi/launcher.h"
#endif

namespace tplab::cli {

namespace {

[[maybe_unused]] bool asks_for_mpi(const std::vector<std::string>& words) {
  if (std::find(words.begin(), words.end(), "--comm=mpi") != words.end()) return true;
  const auto option = std::find(words.begin(), words.end(), "--comm");
  return option != words.end() && std::next(option) != words.end() && *std::next(option) == "mpi";
}

// Of processes that were started together, and then each is all of a program: once.
[[maybe_unused]] void say_alone(const std::vector<std::string>& words) {
  const auto launcher = find_launcher([](const char* name) { return std::getenv(name); });
  const bool by_nccl = std::find(words.begin(), words.end(), "nccl") != words.end() ||
                       std::find(words.begin(), words.end(), "--comm=nccl") != words.end();
  if (launcher && launcher->size > 1 && launcher->rank == 0 && !by_nccl)
    to_stderr(
        "tplab: note: each of the {} processes ({}={}) does all of this by itself; with --comm mpi "
        "they are ranks\n",
        launcher->size, launcher->variable, launcher->size);
}

// Ranks that compute different things do not all show it: of two learning rates, none does.
[[maybe_unused]] void check_same_words(Processes& all, const std::vector<std::string>& words) {
  const auto said = all.gather(fmt::format("tplab {}", fmt::join(words, " ")));
  for (size_t rank = 1; rank < said.size(); ++rank)
    if (said[rank] != said[0])
      fail(fmt::format("the processes were not given the same words\n  rank 0: {}\n  rank {}: {}",
                       said[0], rank, said[rank]),
           "give them the same; a file that is elsewhere on another machine, by a link");
}

}  // namespace

void Launched::join([[maybe_unused]] const std::vector<std::string>& words) {
#if TPLAB_HAS_MPI
  if (!asks_for_mpi(words)) return say_alone(words);
  all_ = join_mpi(program_version());
  set_processes(all_.get());
  if (!is_first_process()) silence();
  if (all_) check_same_words(*all_, words);
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
