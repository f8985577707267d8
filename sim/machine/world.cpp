#include "sim/machine/world.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cassert>
#include <limits>
#include <thread>

#include "sim/cuda/gpus.h"
#include "sim/cuda/host/host_runtime.h"
#include "sim/error.h"
#include "sim/machine/backends.h"
#include "sim/machine/cgroup.h"
#include "sim/machine/watched_device.h"
#include "sim/meta/meta_device.h"
#include "sim/nccl/nccl.h"
#include "sim/threads/board.h"
#include "sim/threads/crew.h"
#include "sim/threads/run_on_threads.h"
#include "sim/threads/thread_transport.h"

namespace tplab {

int available_cores() {
  static const int kQuota = cgroup_limits().cores.value_or(std::numeric_limits<int>::max());
  cpu_set_t set;
  const int cores = sched_getaffinity(0, sizeof(set), &set) == 0
                        ? CPU_COUNT(&set)
                        : static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(cores, 1, std::max(1, kQuota));
}

void check_world(const WorldOptions& options) {
  if (options.tp < 1 || options.tp > kMaxRanks) {
    fail(fmt::format("tp {} is out of range", options.tp),
         fmt::format("use a number of ranks from 1 to {}", kMaxRanks));
  }
  if (options.dp < 1 || options.dp > kMaxRanks / options.tp) {
    fail(fmt::format("dp {} is out of range at tp {}", options.dp, options.tp),
         fmt::format("use 1 to {}: dp times tp is at most {} ranks", kMaxRanks / options.tp,
                     kMaxRanks));
  }
  if (options.threads_per_rank < 0 || options.threads_per_rank > 1024) {
    fail(fmt::format("{} threads per rank is out of range", options.threads_per_rank),
         "use 1 to 1024, or 0 to share the cores");
  }
  if (!(options.timeout_s > 0 && options.timeout_s <= 1e6)) {
    fail(fmt::format("a timeout of {} s is out of range", options.timeout_s),
         "use more than 0 and at most 1e6 seconds");
  }
  if (options.device != "meta") check_backend(devices(), "device", options.device);
  check_backend(comms(), "comm", options.comm);
  if (options.device == "cuda") check_gpus();
  if (options.comm == "nccl") {
    if (options.device != "cuda")
      fail(fmt::format("comm 'nccl' moves numbers between GPUs, and the device is '{}'",
                       options.device),
           "use --device cuda too, or --comm threads");
    check_nccl();
  } else if (options.algorithm == Algorithm::library) {
    fail(fmt::format("comm '{}' has no sums of its own: there is no algorithm 'library'",
                     options.comm),
         "use --algorithm direct, ring, tree or gather, or --comm nccl");
  }
}

World::World(WorldOptions options) : options_(std::move(options)) { check_world(options_); }

int World::threads_per_rank() const {
  if (options_.threads_per_rank > 0) return options_.threads_per_rank;
  return std::max(1, available_cores() / ranks());
}

std::vector<RankRecord> World::run_ranks(const std::function<void(Rank&)>& body) {
  const Mesh mesh = options_.mesh();
  const int count = mesh.ranks();
  const bool meta = options_.device == "meta";
  // The others have nothing to compute that lanes could share.
  const int lanes = options_.device == "cpu" ? threads_per_rank() : 1;
  assert(options_.recorders.empty() || std::ssize(options_.recorders) == count);
  const bool oversubscribed = count * lanes > available_cores();
  const auto board = std::make_shared<Board>(mesh, options_.timeout_s, oversubscribed);

  // What the ranks are made of, made before any of them runs.
  std::vector<std::shared_ptr<ThreadGroup>> replicas, columns;
  for (int d = 0; d < mesh.dp; ++d)
    replicas.push_back(std::make_shared<ThreadGroup>(board, mesh.tp_group(d), Axis::tp));
  for (int t = 0; t < mesh.tp; ++t)
    columns.push_back(std::make_shared<ThreadGroup>(board, mesh.dp_group(t), Axis::dp));
  const auto make_transport = [&](ThreadAgreement& agreement, Device& device,
                                  CudaRuntime* runtime) -> std::unique_ptr<Transport> {
    if (options_.comm == "nccl")
      return make_nccl_transport(agreement, device, *runtime, options_.timeout_s);
    return std::make_unique<ThreadTransport>(agreement, device);
  };
  const auto make_comm = [&](const std::shared_ptr<ThreadGroup>& group, Rank& rank,
                             CudaRuntime* runtime) {
    auto agreement = std::make_unique<ThreadAgreement>(group, group->rank_of(rank.global_index()),
                                                       rank.device());
    auto transport = make_transport(*agreement, rank.device(), runtime);
    const CommBreakage& breakage = options_.comm_breakage;
    return std::make_unique<Comm>(rank, options_.algorithm,
                                  broken(std::move(agreement), rank, breakage),
                                  broken(std::move(transport), rank, breakage));
  };
  const auto make_device = [&](int r, Crew& crew, Recorder* recorder) {
    if (meta) return make_meta_device(recorder);
    // NCCL finds its own way between GPUs; threads' ranks read each other's memory.
    const int reaching = options_.comm == "threads" ? count : 0;
    if (options_.device == "cuda")
      return make_gpu_device({.rank = r, .place = r, .places = reaching});
    return options_.device == "cpu" ? make_cpu_device(crew) : make_cuda_host_device();
  };
  std::vector<std::unique_ptr<Crew>> crews;
  std::vector<std::unique_ptr<Rank>> ranks;
  for (int r = 0; r < count; ++r) {
    crews.push_back(std::make_unique<Crew>(lanes, oversubscribed));
    Recorder* const recorder =
        options_.recorders.empty() ? nullptr : options_.recorders[static_cast<size_t>(r)];
    std::unique_ptr<Device> device = make_device(r, *crews.back(), recorder);
    CudaRuntime* const runtime = options_.device == "cuda" ? &gpu_runtime(*device) : nullptr;
    if (!meta) device = watched_for(recorder, std::move(device));
    if (options_.wrap_device) device = options_.wrap_device(r, std::move(device));
    std::unique_ptr<const Clock> clock = options_.make_clock ? options_.make_clock(r) : nullptr;
    ranks.push_back(std::make_unique<Rank>(mesh, r, std::move(device), recorder, std::move(clock)));
    Rank& rank = *ranks.back();
    rank.comm_ = make_comm(replicas[static_cast<size_t>(mesh.dp_index(r))], rank, runtime);
    rank.dp_comm_ = make_comm(columns[static_cast<size_t>(mesh.tp_index(r))], rank, runtime);
    board->watch(r, rank);
  }

  // Lane 0 of each rank's threads is the rank; the others help it inside its operations.
  run_on_threads(count * lanes, [&](int thread) {
    const size_t r = static_cast<size_t>(thread / lanes);
    if (const int lane = thread % lanes; lane > 0) return crews[r]->serve(lane);
    std::exception_ptr error;
    try {
      body(*ranks[r]);
    } catch (...) {
      error = std::current_exception();
    }
    crews[r]->close();
    board->leave(static_cast<int>(r), std::move(error));
  });
  board->rethrow_failure();

  std::vector<RankRecord> records;
  records.reserve(ranks.size());
  for (auto& rank : ranks) {
    records.push_back({std::move(rank->ledger_), rank->device().memory()});
  }
  return records;
}

}  // namespace tplab
