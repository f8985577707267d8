#include "cli/launched.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iterator>

#include "cli/command.h"
#include "cli/machine_facts.h"
#include "sim/error.h"
#include "sim/machine/world.h"
#include "sim/processes/launcher.h"
#include "sim/tcp/join.h"
#if TPLAB_HAS_MPI
#include "sim/mpi/join.h"
#endif

namespace tplab::cli {

namespace {

// What follows an option among the words, which are not parsed yet; empty if it is not there.
std::string value_of(const std::vector<std::string>& words, const std::string& option) {
  for (auto word = words.begin(); word != words.end(); ++word) {
    if (word->starts_with(option + "=")) return word->substr(option.size() + 1);
    if (*word == option && std::next(word) != words.end()) return *std::next(word);
  }
  return "";
}

std::unique_ptr<Processes> join_by_mpi() {
#if TPLAB_HAS_MPI
  return join_mpi(program_version());
#else
  return nullptr;
#endif
}

std::unique_ptr<Processes> join_for_nccl(double timeout_s) {
  const std::optional<JobPlace> job = find_job([](const char* name) { return std::getenv(name); });
  if (!job || !job->says_where())
    if (auto all = join_by_mpi()) return all;
  if (!job || (job->size == 1 && !job->says_where())) return nullptr;  // alone
  return join_tcp(*job, timeout_s, program_version());
}

// Of processes that were started together, and then each is all of a program: once.
void say_alone() {
  const auto launcher = find_launcher([](const char* name) { return std::getenv(name); });
  if (launcher && launcher->size > 1 && launcher->rank == 0)
    to_stderr(
        "tplab: note: each of the {} processes ({}={}) does all of this by itself; with --comm mpi "
        "they are ranks\n",
        launcher->size, launcher->variable, launcher->size);
}

// Ranks that compute different things do not all show it: of two learning rates, none does.
void check_same_words(Processes& all, const std::vector<std::string>& words) {
  const auto said = all.gather(fmt::format("tplab {}", fmt::join(words, " ")));
  for (size_t rank = 1; rank < said.size(); ++rank)
    if (said[rank] != said[0])
      fail(fmt::format("the processes were not given the same words\n  rank 0: {}\n  rank {}: {}",
                       said[0], rank, said[rank]),
           "give them the same; a file that is elsewhere on another machine, by a link");
}

}  // namespace

void Launched::join(const std::vector<std::string>& words) {
  const std::string comm = value_of(words, "--comm");
  if (comm == "mpi") all_ = join_by_mpi();
  if (comm == "nccl") {
    const double timeout_s = std::strtod(value_of(words, "--timeout").c_str(), nullptr);
    all_ = join_for_nccl(timeout_s > 0 ? timeout_s : WorldOptions().timeout_s);
  }
  if (comm != "mpi" && comm != "nccl") say_alone();
  set_processes(all_.get());
  if (!is_first_process()) silence();
  if (all_) check_same_words(*all_, words);
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
