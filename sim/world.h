// Runs one program on every rank of a mesh: World({.tp = 4, .dp = 2}).run(body).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sim/rank.h"

namespace tplab {

class ThreadGroup;  // what the ranks of a group share (threads/thread_group.h)

// Makes a rank's communicators, tp and then dp (the group says which, and so does Comm::axis());
// tests replace it to break a collective on purpose.
using CommFactory =
    std::function<std::unique_ptr<Comm>(std::shared_ptr<ThreadGroup>, Rank&, Algorithm)>;

inline constexpr int kMaxRanks = 64;

struct WorldOptions {
  int tp = 1;  // ranks that share one model
  int dp = 1;  // replicas of it; dp * tp is 1 to kMaxRanks, and may exceed the cores
  std::string device = "cpu";  // or "meta": shapes only (meta/meta_device.h)
  std::string comm = "threads";
  Algorithm algorithm = Algorithm::direct;
  int threads_per_rank = 0;               // 0: cores / (dp * tp), at least 1
  double timeout_s = 300;                 // a rank that keeps its peers waiting longer is an error
  Observer observer = {};                 // shown every watched tensor
  std::vector<Recorder*> recorders = {};  // one a rank, by global index; or none
  CommFactory make_comm = {};
};

// What one rank left behind.
struct RankRecord {
  Ledger ledger;
  MemoryUse memory;  // peak over the run
};

class World {
 public:
  // Throws Error(usage) for options out of range, Error(unavailable) for a device or comm that is
  // not in this build.
  explicit World(WorldOptions options);

  // Calls body once per rank, each on its own thread, and returns when all have returned. Records
  // are by global index, dp_index * tp + index.
  // If ranks throw, the peers are released from whatever they wait for, and the first exception is
  // rethrown with the rank's name in front (its kind is that of as_error). Nothing hangs.
  // Throws Error(unavailable), before any body runs, where the system gives too few threads.
  std::vector<RankRecord> run(const std::function<void(Rank&)>& body);

  int threads_per_rank() const;

 private:
  WorldOptions options_;
};

// Cores this process may run on, and that its control group lets it keep busy.
int available_cores();

}  // namespace tplab
