#include "launch.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

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

void forget_times(nlohmann::json& json) {
  static const std::set<std::string> kTimes = {
      "comm",       "options",    "load_seconds", "first_token_seconds", "command",
      "invocation", "start_ns",   "end_ns",       "tokens_per_second",   "timeout",
      "us",         "peak_bytes", "threads"};
  if (json.is_object()) {
    for (auto it = json.begin(); it != json.end();)
      it = kTimes.contains(it.key()) || it.key().find("time") != std::string::npos ||
                   it.key().find("per_sec") != std::string::npos ||
                   it.key().find("percent") != std::string::npos
               ? json.erase(it)
               : std::next(it);
  }
  if (json.is_structured())
    for (nlohmann::json& each : json) forget_times(each);
}

Job::Job(int processes, const std::vector<std::string>& words,
         const std::vector<std::string>& env) {
  for (int rank = 0; rank < processes; ++rank) {
    How how;
    how.env = {"RANK=" + std::to_string(rank), "WORLD_SIZE=" + std::to_string(processes),
               "LOCAL_RANK=" + std::to_string(rank),
               std::string("TPLAB_RENDEZVOUS=") + (folder_ / "meet")};
    how.env.insert(how.env.begin(), env.begin(), env.end());
    all_.push_back(std::make_unique<Started>(words, how));
  }
}

std::vector<Ran> Job::wait() {
  std::vector<Ran> all;
  for (const auto& one : all_) all.push_back(one->wait());
  return all;
}

std::vector<Ran> case_by_each(int processes, const std::string& name) {
  Ran by_sockets;
  for (const Ran& one : Job(processes, {TPLAB_MPI_CASES, name}).wait()) {
    by_sockets.out += one.out;
    by_sockets.err += one.err;
    by_sockets.exit_code = std::max(by_sockets.exit_code, one.exit_code);
  }
  return {mpi_case(processes, name), by_sockets};
}

Ran mpi_case(int processes, const std::string& name) {
  return Started(under_mpi(processes, {TPLAB_MPI_CASES, name}), launched()).wait();
}

}  // namespace tplab::testing
