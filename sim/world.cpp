#include "sim/world.h"

#include <fmt/format.h>
#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <thread>

#include "sim/error.h"
#include "sim/meta/meta_device.h"
#include "sim/threads/board.h"
#include "sim/threads/crew.h"
#include "sim/threads/threads_comm.h"

#if defined(__SANITIZE_THREAD__)
#define TPLAB_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TPLAB_THREAD_SANITIZER 1
#endif
#endif

namespace tplab {
namespace {

void check_name(std::string_view option, std::string_view value, std::string_view built,
                std::initializer_list<std::string_view> known) {
  if (value == built) return;
  if (std::find(known.begin(), known.end(), value) != known.end()) {
    fail_unavailable(fmt::format("{} '{}' is not in this build", option, value),
                     fmt::format("use {}", built));
  }
  fail(fmt::format("unknown {} '{}'", option, value), fmt::format("use {}", built));
}

#ifdef TPLAB_THREAD_SANITIZER

// The same on plain threads, because the sanitizer does not see how libgomp synchronises its own.
void run_on_threads(int threads, const std::function<void(int)>& body) {
  std::vector<std::jthread> team;
  for (int i = 0; i < threads; ++i) team.emplace_back([&body, i] { body(i); });
}

#else

// Calls body(0) .. body(threads-1), each on a thread of its own. body must not throw.
void run_on_threads(int threads, const std::function<void(int)>& body) {
  const int dynamic_before = omp_get_dynamic();
  omp_set_dynamic(0);
  std::atomic<int> got = 0;
#pragma omp parallel num_threads(threads)
  {
    if (omp_get_thread_num() == 0) got = omp_get_num_threads();
    if (omp_get_num_threads() == threads) body(omp_get_thread_num());
  }
  omp_set_dynamic(dynamic_before);
  if (got == threads) return;
  fail_unavailable(fmt::format("OpenMP gave {} threads of the {} asked for", got.load(), threads),
                   "unset OMP_THREAD_LIMIT, and do not start a World inside a parallel region");
}

#endif

}  // namespace

int available_cores() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof(cores), &cores) == 0) return std::max(1, CPU_COUNT(&cores));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

World::World(WorldOptions options) : options_(std::move(options)) {
  if (options_.tp < 1 || options_.tp > kMaxRanks) {
    fail(fmt::format("tp {} is out of range", options_.tp),
         fmt::format("use a number of ranks from 1 to {}", kMaxRanks));
  }
  if (options_.dp < 1 || options_.dp > kMaxRanks / options_.tp) {
    fail(fmt::format("dp {} is out of range at tp {}", options_.dp, options_.tp),
         fmt::format("use 1 to {}: dp times tp is at most {} ranks", kMaxRanks / options_.tp,
                     kMaxRanks));
  }
  if (options_.threads_per_rank < 0 || options_.threads_per_rank > 1024) {
    fail(fmt::format("{} threads per rank is out of range", options_.threads_per_rank),
         "use 1 to 1024, or 0 to share the cores");
  }
  if (!(options_.timeout_s > 0 && options_.timeout_s <= 1e6)) {
    fail(fmt::format("a timeout of {} s is out of range", options_.timeout_s),
         "use more than 0 and at most 1e6 seconds");
  }
  if (options_.device != "meta") check_name("device", options_.device, "cpu", {"cuda"});
  check_name("comm", options_.comm, "threads", {"nccl", "mpi"});
}

int World::threads_per_rank() const {
  if (options_.threads_per_rank > 0) return options_.threads_per_rank;
  return std::max(1, available_cores() / (options_.dp * options_.tp));
}

std::vector<RankRecord> World::run(const std::function<void(Rank&)>& body) {
  const int tp = options_.tp, dp = options_.dp, count = dp * tp;
  const bool meta = options_.device == "meta";  // has nothing to compute that lanes could share
  const int lanes = meta ? 1 : threads_per_rank();
  assert(options_.recorders.empty() || std::ssize(options_.recorders) == count);
  const bool oversubscribed = count * lanes > available_cores();
  const auto board = std::make_shared<Board>(count, tp, options_.timeout_s, oversubscribed);

  // What the ranks are made of, made before any of them runs. The rank with tp index t of replica d
  // is d tp + t; groups are the rows and the columns of the mesh.
  const auto group_of = [&](int first, int step, int size, Axis axis) {
    std::vector<int> members;
    members.reserve(static_cast<size_t>(size));
    for (int i = 0; i < size; ++i) members.push_back(first + i * step);
    return std::make_shared<ThreadGroup>(board, members, axis);
  };
  std::vector<std::shared_ptr<ThreadGroup>> rows, columns;
  for (int d = 0; d < dp; ++d) rows.push_back(group_of(d * tp, 1, tp, Axis::tp));
  for (int t = 0; t < tp; ++t) columns.push_back(group_of(t, tp, dp, Axis::dp));
  const CommFactory make_comm = options_.make_comm ? options_.make_comm : make_threads_comm;
  std::vector<std::unique_ptr<Crew>> crews;
  std::vector<std::unique_ptr<Rank>> ranks;
  for (int r = 0; r < count; ++r) {
    const MeshPlace place{.tp_index = r % tp, .tp = tp, .dp_index = r / tp, .dp = dp};
    crews.push_back(std::make_unique<Crew>(lanes, oversubscribed));
    const Observer* observer = options_.observer ? &options_.observer : nullptr;
    Recorder* const recorder =
        options_.recorders.empty() ? nullptr : options_.recorders[static_cast<size_t>(r)];
    ranks.push_back(std::make_unique<Rank>(
        place, meta ? make_meta_device(recorder) : make_cpu_device(*crews.back()), observer,
        recorder));
    Rank& rank = *ranks.back();
    rank.comm_ = make_comm(rows[static_cast<size_t>(r / tp)], rank, options_.algorithm);
    rank.dp_comm_ = make_comm(columns[static_cast<size_t>(r % tp)], rank, options_.algorithm);
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
