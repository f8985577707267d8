// Several worlds that live at the same time and run one at a time, so that their timings are taken
// side by side: a slow second of the machine then hits all of them.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "sim/machine/world.h"

namespace tplab::cli {

class WorldsInTurn {
 public:
  using Turn = std::function<void()>;  // what one rank does in one turn
  // Called on each rank in its world's first turn, before the turn itself: loads the weights.
  using Prepare = std::function<Turn(size_t world, Rank& rank)>;

  // Throws what World's constructor throws.
  WorldsInTurn(const std::vector<WorldOptions>& options, Prepare prepare);
  ~WorldsInTurn();  // ends the ranks and waits for them
  WorldsInTurn(const WorldsInTurn&) = delete;
  WorldsInTurn& operator=(const WorldsInTurn&) = delete;

  // One turn of one world: starts it on every rank and returns when all have ended. Meanwhile the
  // ranks of the other worlds sleep. Throws what a rank threw.
  void run(size_t world);

 private:
  struct Entry {
    World world;
    int64_t turns_begun = 0, turns_done = 0;
  };

  void live(size_t world);  // the thread of one world
  void body(size_t world, Rank& rank);
  // Waits for the turn after `seen` others; false when there will be none.
  bool await_turn(size_t world, int64_t seen);
  void close(std::exception_ptr error);

  Prepare prepare_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Entry> entries_;  // guarded by mutex_, but for `world`
  bool closed_ = false;
  std::exception_ptr error_;
  std::vector<std::jthread> threads_;
};

}  // namespace tplab::cli
