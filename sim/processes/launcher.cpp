#include "sim/processes/launcher.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "sim/error.h"

namespace tplab {
namespace {

struct LauncherNames {
  const char *name, *rank, *size, *local_rank, *job;
};

// An allocation of Slurm's alone, without srun, sets SLURM_NTASKS too, and starts nothing.
constexpr LauncherNames kLaunchers[] = {
    {"Open MPI's mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
     "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_MCA_ess_base_jobid"},
    {"MPICH's mpiexec", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", ""},
    {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_JOB_ID"},
    {"PMIx", "PMIX_RANK", "PMIX_SIZE", "PMIX_LOCAL_RANK", "PMIX_NAMESPACE"},
};
constexpr LauncherNames kTorchrun = {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK",
                                     "TORCHELASTIC_RUN_ID"};
constexpr int kMostProcesses = 1 << 20;

std::string_view text_of(const Variables& variables, const char* name) {
  const char* const value = variables(name);
  return value ? value : "";
}

int number_of(const Variables& variables, const char* name, int least, int most) {
  const std::string_view value = text_of(variables, name);
  int n = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (error != std::errc() || end != value.data() + value.size() || n < least || n > most)
    fail(fmt::format("the variable {} is '{}', not a number from {} to {}", name, value, least,
                     most),
         "let the launcher set it, or unset it to run in one process");
  return n;
}

uint64_t mixed(uint64_t hash, std::string_view bytes) {  // FNV-1a
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

// False where `names` says nothing of this process.
bool find_place(const Variables& variables, const LauncherNames& names, JobPlace& place) {
  if (text_of(variables, names.rank).empty() || text_of(variables, names.size).empty())
    return false;
  place.size = number_of(variables, names.size, 1, kMostProcesses);
  place.rank = number_of(variables, names.rank, 0, place.size - 1);
  if (!text_of(variables, names.local_rank).empty())
    place.local_rank = number_of(variables, names.local_rank, 0, kMostProcesses);
  place.by = fmt::format("{}'s variables ({}, {})", names.name, names.rank, names.size);
  // Of what all processes of the job see alike, and no more.
  place.token = mixed(mixed(0xcbf29ce484222325u, "tplab"), text_of(variables, names.job));
  return true;
}

}  // namespace

std::optional<Launcher> find_launcher(const Variables& variables) {
  const auto number = [&](const char* name) {
    const char* const text = variables(name);
    return text ? std::atoi(text) : 0;
  };
  for (const LauncherNames& names : kLaunchers) {
    if (!variables(names.size)) continue;
    Launcher launcher{names.size, number(names.size), number(names.rank)};
    if (variables(names.local_rank)) launcher.local_rank = number(names.local_rank);
    return launcher;
  }
  if (variables("PMIX_RANK")) return Launcher{"PMIX_RANK", 0, number("PMIX_RANK")};
  return {};
}

std::optional<JobPlace> find_job(const Variables& variables) {
  JobPlace place;
  bool found = find_place(variables, kTorchrun, place);
  for (const LauncherNames& names : kLaunchers)
    found = found || find_place(variables, names, place);
  if (!found) return {};
  place.file = text_of(variables, "TPLAB_RENDEZVOUS");
  if (!place.file.empty()) return place;
  place.host = text_of(variables, "MASTER_ADDR");
  if (!place.host.empty() && !text_of(variables, "MASTER_PORT").empty())
    place.port = number_of(variables, "MASTER_PORT", 1, 65535);
  return place;
}

}  // namespace tplab
