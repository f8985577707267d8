#include "sim/nccl/launch.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

#include "sim/error.h"

namespace tplab {
namespace {

struct Launcher {
  const char *name, *rank, *size, *local_rank, *job;
};

constexpr Launcher kLaunchers[] = {
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RUN_ID"},
    {"srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_JOB_ID"},
    {"Open MPI's mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
     "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_MCA_ess_base_jobid"},
    {"MPICH's mpiexec", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "PMI_ID"},
};

std::string_view text(const Variables& variables, const char* name) {
  const char* const value = variables(name);
  return value ? value : "";
}

int number(const Variables& variables, const char* name, int least, int most) {
  const std::string_view value = text(variables, name);
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

}  // namespace

std::optional<JobPlace> launched_by(const Variables& variables) {
  constexpr int kMost = 1 << 20;
  for (const Launcher& launcher : kLaunchers) {
    if (text(variables, launcher.rank).empty() || text(variables, launcher.size).empty()) continue;
    JobPlace place;
    place.size = number(variables, launcher.size, 1, kMost);
    place.rank = number(variables, launcher.rank, 0, place.size - 1);
    if (place.size == 1) continue;
    if (!text(variables, launcher.local_rank).empty())
      place.local_rank = number(variables, launcher.local_rank, 0, kMost);
    place.by = fmt::format("{}'s variables ({}, {})", launcher.name, launcher.rank, launcher.size);
    place.token = mixed(mixed(0xcbf29ce484222325u, fmt::format("tplab {}", place.size)),
                        text(variables, launcher.job));
    place.file = text(variables, "TPLAB_RENDEZVOUS");
    if (!place.file.empty()) return place;
    place.host = text(variables, "MASTER_ADDR");
    if (!place.host.empty() && !text(variables, "MASTER_PORT").empty())
      place.port = number(variables, "MASTER_PORT", 1, 65535);
    return place;
  }
  return {};
}

}  // namespace tplab
