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
#include "sim/machine/processes.h"
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

namespace {

// Of a mesh whose ranks are processes.
void check_processes(const Mesh& mesh) {
  const int size = processes() ? processes()->size() : 1, ranks = mesh.ranks();
  if (ranks == size) return;
  const std::string wanted =
      mesh.dp == 1 ? fmt::format("tp {}", mesh.tp) : fmt::format("tp {}, dp {}", mesh.tp, mesh.dp);
  if (!processes())  // mpi alone
    fail(fmt::format("{} with mpi needs {} processes, and no launcher has started this one", wanted,
                     ranks),
         fmt::format("start it with a launcher: mpirun -n {} tplab ..", ranks));
  fail(fmt::format("{} needs {} process{}, and the launcher has started {}", wanted, ranks,
                   ranks == 1 ? "" : "es", size),
       mesh.dp == 1 ? fmt::format("use --tp {}, or start it with -n {}", size, ranks)
                    : fmt::format("use --tp and --dp whose product is {}, or start it with -n {}",
                                  size, ranks));
}

}  // namespace

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
    if (options.device != "cuda" && !(options.device == "cuda-host" && nccl_is_a_stand_in()))
      fail(fmt::format("comm 'nccl' moves numbers between GPUs, and the device is '{}'",
                       options.device),
           "use --device cuda too, or --comm threads");
    check_nccl();
  } else if (options.algorithm == Algorithm::library) {
    fail(fmt::format("comm '{}' has no sums of its own: there is no algorithm 'library'",
                     options.comm),
         "use --algorithm direct, ring, tree or gather, or --comm nccl");
  }
  if (options.device != "meta" &&
      (options.comm == "mpi" || (options.comm == "nccl" && processes())))
    check_processes(options.mesh());
}

// One process a rank: with mpi always, with nccl where a launcher has started this process.
bool World::in_processes() const {
  return processes() && options_.device != "meta" &&
         (options_.comm == "mpi" || options_.comm == "nccl");
}

World::World(WorldOptions options) : options_(std::move(options)) { check_world(options_); }

int World::threads_per_rank() const {
  if (options_.threads_per_rank > 0) return options_.threads_per_rank;
  if (in_processes()) return std::max(1, static_cast<int>(processes()->cores()));
  return std::max(1, available_cores() / ranks());
}

// The other devices have nothing to compute that lanes could share.
int World::lanes_per_rank() const { return options_.device == "cpu" ? threads_per_rank() : 1; }

// Without its communicators.
std::unique_ptr<Rank> World::make_rank(int index, Crew& crew, CudaRuntime** runtime) const {
  const bool meta = options_.device == "meta";
  Recorder* const recorder =
      options_.recorders.empty() ? nullptr : options_.recorders[static_cast<size_t>(index)];
  const auto make_device = [&]() -> std::unique_ptr<Device> {
    if (meta) return make_meta_device(recorder);
    if (options_.device == "cpu") return make_cpu_device(crew);
    if (options_.device != "cuda") return make_cuda_host_device();
    // Threads' ranks read each other's memory; others go their own ways between GPUs.
    const int reaching = options_.comm == "threads" ? ranks() : 0;
    const int place = in_processes() ? processes()->place() : index;
    return make_gpu_device({.rank = index, .place = place, .places = reaching});
  };
  std::unique_ptr<Device> device = make_device();
  if (runtime && options_.device == "cuda") *runtime = &gpu_runtime(*device);
  if (runtime && options_.device == "cuda-host") *runtime = &cuda_host_runtime(*device);
  if (!meta) device = watched_for(recorder, std::move(device));
  if (options_.wrap_device) device = options_.wrap_device(index, std::move(device));
  std::unique_ptr<const Clock> clock = options_.make_clock ? options_.make_clock(index) : nullptr;
  return std::make_unique<Rank>(options_.mesh(), index, std::move(device), recorder,
                                std::move(clock));
}

namespace {

std::exception_ptr caught(const std::function<void(Rank&)>& body, Rank& rank) {
  try {
    body(rank);
    return nullptr;
  } catch (...) {
    return std::current_exception();
  }
}

RankRecord record_of(Ledger ledger, Rank& rank) {
  return {std::move(ledger), rank.device().memory()};
}

}  // namespace

World::Ran World::run_ranks(const std::function<void(Rank&)>& body, const Traveller& traveller) {
  assert(options_.recorders.empty() || std::ssize(options_.recorders) == ranks());
  return in_processes() ? run_in_process(body, traveller) : run_threads(body);
}

World::Ran World::run_threads(const std::function<void(Rank&)>& body) {
  const Mesh mesh = options_.mesh();
  const int count = mesh.ranks();
  const int lanes = lanes_per_rank();
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
  std::vector<std::unique_ptr<Crew>> crews;
  std::vector<std::unique_ptr<Rank>> ranks;
  for (int r = 0; r < count; ++r) {
    crews.push_back(std::make_unique<Crew>(lanes, oversubscribed));
    CudaRuntime* runtime = nullptr;
    Rank& rank = *ranks.emplace_back(make_rank(r, *crews.back(), &runtime));
    rank.comm_ = make_comm(replicas[static_cast<size_t>(mesh.dp_index(r))], rank, runtime);
    rank.dp_comm_ = make_comm(columns[static_cast<size_t>(mesh.tp_index(r))], rank, runtime);
    board->watch(r, rank);
  }

  // Lane 0 of each rank's threads is the rank; the others help it inside its operations.
  run_on_threads(count * lanes, [&](int thread) {
    const size_t r = static_cast<size_t>(thread / lanes);
    if (const int lane = thread % lanes; lane > 0) return crews[r]->serve(lane);
    std::exception_ptr error = caught(body, *ranks[r]);
    crews[r]->close();
    board->leave(static_cast<int>(r), std::move(error));
  });
  Ran ran{.records = {}, .failed = board->failure()};
  if (ran.failed) return ran;
  ran.records.reserve(ranks.size());
  for (auto& rank : ranks) ran.records.push_back(record_of(std::move(rank->ledger_), *rank));
  return ran;
}

World::Ran World::run_in_process(const std::function<void(Rank&)>& body,
                                 const Traveller& traveller) {
  const Mesh mesh = options_.mesh();
  Processes& all = *processes();
  const int lanes = lanes_per_rank(), index = all.rank();
  Crew crew(lanes, lanes > all.cores());
  const std::unique_ptr<ProcessRun> run = all.begin(mesh, options_.timeout_s);
  CudaRuntime* runtime = nullptr;
  const std::unique_ptr<Rank> rank = make_rank(index, crew, &runtime);
  run->watch(*rank);
  const CommBreakage& breakage = options_.comm_breakage;
  const auto make_comm = [&](const std::vector<int>& members, Axis axis) {
    const bool nccl = options_.comm == "nccl";
    auto agreement = run->agreement(members, axis, rank->device(), !breakage.move && !nccl);
    auto transport =
        nccl ? make_nccl_transport(*agreement, rank->device(), *runtime, options_.timeout_s)
             : run->transport(*agreement, rank->device());
    return std::make_unique<Comm>(*rank, options_.algorithm,
                                  broken(std::move(agreement), *rank, breakage),
                                  broken(std::move(transport), *rank, breakage));
  };
  rank->comm_ = make_comm(mesh.tp_group(mesh.dp_index(index)), Axis::tp);
  rank->dp_comm_ = make_comm(mesh.dp_group(mesh.tp_index(index)), Axis::dp);

  std::exception_ptr error;
  const auto on_thread = [&](int lane) {
    if (lane > 0) return crew.serve(lane);
    error = caught(body, *rank);
    crew.close();
  };
  try {
    run_on_threads(lanes, on_thread);
  } catch (...) {  // too few threads
    error = std::current_exception();
  }
  Ran ran{.records = {}, .failed = run->end(std::move(error))};
  if (ran.failed && (all.lost() || !traveller.pack)) return ran;

  // Every rank's record and result, in every process. This one's own are here already.
  PackedSites sites;
  const MemoryUse memory = rank->device().memory();
  Packer pack(sites);
  pack(packed(rank->ledger_, sites), memory.current_bytes, memory.peak_bytes);
  if (traveller.pack) traveller.pack(static_cast<size_t>(index), pack);
  const std::vector<std::string> parcels = run->gather(pack.take());
  ran.records.resize(parcels.size());
  for (size_t r = 0; r < parcels.size(); ++r) {
    if (r == static_cast<size_t>(index)) {
      ran.records[r] = record_of(std::move(rank->ledger_), *rank);
      continue;
    }
    PackedSites theirs;
    std::string ledger;
    Unpacker unpack(parcels[r], theirs);
    unpack(ledger, ran.records[r].memory.current_bytes, ran.records[r].memory.peak_bytes);
    ran.records[r].ledger = unpacked_ledger(ledger, theirs);
    if (traveller.unpack) traveller.unpack(r, unpack);
  }
  if (ran.failed) ran.records.clear();
  return ran;
}

}  // namespace tplab
