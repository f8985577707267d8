#include "sim/machine/backends.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "sim/error.h"

namespace tplab {

namespace {

std::vector<std::string_view> names(std::span<const Backend> backends, bool built) {
  std::vector<std::string_view> result;
  for (const Backend& backend : backends)
    if (backend.built == built) result.push_back(backend.name);
  return result;
}

}  // namespace

std::span<const Backend> devices() {
  static constexpr Backend kDevices[] = {
      {"cpu", true, "f32, f64, bf16"},
      {"cuda", TPLAB_HAS_CUDA != 0, "f32, f64, bf16"},
      {"cuda-host", true, "f32, f64, bf16; the kernels for GPUs, run on the CPU: slow"}};
  return kDevices;
}

std::span<const Backend> comms() {
  constexpr const char* kNccl =
      "a GPU a rank: threads, or processes under mpirun, srun or torchrun";
  static constexpr Backend kComms[] = {
      {"threads", true, "direct, ring, tree, gather"},
      {"nccl", TPLAB_HAS_NCCL != 0, TPLAB_HAS_NCCL ? kNccl : TPLAB_NCCL_TOLD, true},
      {"mpi", TPLAB_HAS_MPI != 0, TPLAB_MPI_TOLD}};
  return kComms;
}

bool adds_in_own_order(std::string_view comm) {
  return std::ranges::any_of(comms(),
                             [&](const Backend& b) { return b.name == comm && b.own_order; });
}

std::string names_text(std::span<const Backend> backends) {
  const auto lacking = names(backends, false);
  std::string built = fmt::format("{}", fmt::join(names(backends, true), ", "));
  if (lacking.empty()) return built;
  return fmt::format("{} ({} {} not in this build)", built, fmt::join(lacking, " and "),
                     lacking.size() == 1 ? "is" : "are");
}

void check_backend(std::span<const Backend> backends, std::string_view option,
                   std::string_view name) {
  const std::string use = fmt::format("use {}", fmt::join(names(backends, true), " or "));
  for (const Backend& backend : backends) {
    if (backend.name != name) continue;
    if (backend.built) return;
    fail_unavailable(fmt::format("{} '{}' is not in this build{}{}", option, name,
                                 backend.what.empty() ? "" : ": ", backend.what),
                     use);
  }
  fail(fmt::format("unknown {} '{}'", option, name), use);
}

}  // namespace tplab
