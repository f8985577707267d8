// Runs one program on every rank of a mesh and gathers what the ranks return, in one process or,
// with comm "mpi" or "nccl" under a launcher, in each of as many as there are ranks:
//   const auto [losses, records] = World({.tp = 4, .dp = 2}).run([&](Rank& rank) { return ...; });
#pragma once

#include <exception>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "sim/comm_breakage.h"
#include "sim/machine/rank.h"
#include "sim/machine/travel.h"

namespace tplab {

class CudaRuntime;

inline constexpr int kMaxRanks = 64;

struct WorldOptions {
  int tp = 1;  // ranks that share one model
  int dp = 1;  // replicas of it; dp * tp is 1 to kMaxRanks, and may exceed the cores
  std::string device = "cpu";    // backends.h has the others; or "meta": shapes only
  std::string comm = "threads";  // of the meta device's ranks always
  Algorithm algorithm = Algorithm::direct;
  int threads_per_rank = 0;               // 0: cores / (dp * tp), at least 1
  double timeout_s = 300;                 // a rank that keeps its peers waiting longer is an error
  std::vector<Recorder*> recorders = {};  // one a rank, by global index, or null; or none at all
  // Makes the clock of the rank with this global index; empty for the machine's.
  std::function<std::unique_ptr<const Clock>(int rank)> make_clock = {};
  // What stands for the rank's device, given that; empty for the device itself. For tests.
  std::function<std::unique_ptr<Device>(int rank, std::unique_ptr<Device> device)> wrap_device = {};
  CommBreakage comm_breakage = {};  // none

  Mesh mesh() const { return {.tp = tp, .dp = dp}; }
};

// What one rank left behind.
struct RankRecord {
  Ledger ledger;
  MemoryUse memory;  // peak over the run
};

// What all ranks left behind, by global index. An Event in a result has its site in the records,
// and nowhere where the run failed.
template <class Result>
struct Returned {
  std::vector<Result> results;      // what each rank's body returned
  std::vector<RankRecord> records;  // none where the run failed
};

// Throws Error(usage) for options out of range, where a launcher has not started as many processes
// as there are ranks, and Error(unavailable) for a device or comm that is not in this build.
void check_world(const WorldOptions& options);

class World {
 public:
  // Throws what check_world throws.
  explicit World(WorldOptions options);

  // Calls body once per rank, each on its own thread, and returns when all have returned: the
  // ranks' records, by global index, with what the bodies returned if they return something.
  // A body reads what it captured and writes to none of it, as the other ranks may be in other
  // processes: what it found it returns, and what ranks must agree on goes through their
  // communicators. What is its process's own it may use: its rank's recorder, whose record it
  // returns; a sink (a progress bar, a line, a file) that nothing outside reads back; a flag that
  // is set from outside, as by a signal, of which one rank tells the others.
  // Every process gets all ranks' results, which travel (machine/travel.h), and so all go on alike.
  // If ranks throw, the peers are released from whatever they wait for, and the first exception is
  // rethrown with the rank's name in front (its kind is that of as_error). Nothing hangs.
  // Throws Error(unavailable), before any body runs, where the system gives too few threads.
  template <class Body>
  auto run(const Body& body) {
    static_assert(std::is_invocable_v<const Body&, Rank&>,
                  "a body takes a Rank&, and is not mutable: all ranks call the same one at once");
    using Result = std::invoke_result_t<const Body&, Rank&>;
    static_assert(!std::is_same_v<Result, bool>,
                  "ranks would write bits of one word of a vector<bool>: return an int");
    if constexpr (std::is_void_v<Result>) {
      return records_of(run_ranks(body, {}));
    } else {
      Returned<Result> ran;
      ran.results.resize(static_cast<size_t>(ranks()));
      ran.records = records_of(run_ranks(
          [&](Rank& rank) { ran.results[static_cast<size_t>(rank.global_index())] = body(rank); },
          traveller_of(ran.results)));
      return ran;
    }
  }

  // The same for a body that fills in its result as it goes. Where ranks throw, `failed` gets what
  // run would have thrown, and the results are what each had filled in by then.
  template <class Result, class Body>
  Returned<Result> try_run(const Body& body, std::exception_ptr& failed) {
    Returned<Result> ran;
    ran.results.resize(static_cast<size_t>(ranks()));
    try {
      Ran ended = run_ranks(
          [&](Rank& rank) { body(rank, ran.results[static_cast<size_t>(rank.global_index())]); },
          traveller_of(ran.results));
      ran.records = std::move(ended.records);
      failed = ended.failed;
    } catch (...) {
      failed = std::current_exception();
    }
    return ran;
  }

  int ranks() const { return options_.mesh().ranks(); }
  int threads_per_rank() const;

 private:
  // How one rank's result, by its index, goes to other processes. Empty where there is none.
  struct Traveller {
    std::function<void(size_t rank, Packer& pack)> pack;
    std::function<void(size_t rank, Unpacker& unpack)> unpack;
  };
  template <class Result>
  static Traveller traveller_of(std::vector<Result>& results) {
    return {[&results](size_t rank, Packer& pack) { pack(results[rank]); },
            [&results](size_t rank, Unpacker& unpack) { unpack(results[rank]); }};
  }
  struct Ran {
    std::vector<RankRecord> records;  // none where it failed
    std::exception_ptr failed;
  };
  static std::vector<RankRecord> records_of(Ran ran) {
    if (ran.failed) std::rethrow_exception(ran.failed);
    return std::move(ran.records);
  }
  bool in_processes() const;
  int lanes_per_rank() const;
  std::unique_ptr<Rank> make_rank(int index, Crew& crew, CudaRuntime** runtime = nullptr) const;
  Ran run_ranks(const std::function<void(Rank&)>& body, const Traveller& traveller);
  Ran run_threads(const std::function<void(Rank&)>& body);
  Ran run_in_process(const std::function<void(Rank&)>& body, const Traveller& traveller);

  WorldOptions options_;
};

// Cores this process may run on, and that its control group lets it keep busy.
int available_cores();

}  // namespace tplab
