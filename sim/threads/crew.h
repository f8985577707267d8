// The threads one rank may use inside its own operations: a fork-join team that lives as long as
// the rank, so that a parallel loop costs a microsecond, not a thread creation.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace tplab {

// Lane 0 is the rank's own thread, which calls parallel_for. World starts the other lanes beside it
// and each runs serve() until close(). Waiting spins briefly, then sleeps.
class Crew {
 public:
  explicit Crew(int lanes, bool oversubscribed = false);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  int lanes() const { return lanes_; }

  // Splits [0, n) into at most lanes() contiguous parts of nearly equal size, each at least `grain`
  // long, and calls body(begin, end) once for each, on different lanes; returns when all are done.
  // Which indices go together depends on n, grain and lanes() only. What a body throws (no memory,
  // say) is rethrown here when all lanes are done: the lowest lane's, of several.
  void parallel_for(int64_t n, int64_t grain,
                    const std::function<void(int64_t begin, int64_t end)>& body);

  void serve(int lane);  // lanes 1 .. lanes()-1
  void close();          // lane 0: releases every serve()

 private:
  struct Shared;
  int lanes_;
  std::unique_ptr<Shared> shared_;
};

}  // namespace tplab
