// What every rank of a run is doing, so that a run that cannot go on becomes an error that says so.
//
// A rank waits for one thing: that a counter reaches a target. So whether a wait is over can be
// asked by anyone, and a deadlock is exactly this: every rank that has not left is asleep, and no
// counter has reached its target. Nothing here guesses from elapsed time, except the timeout.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>

#include "sim/agreement.h"
#include "sim/error.h"
#include "sim/machine/world.h"
#include "sim/post.h"
#include "sim/rank_set.h"

namespace tplab {

static_assert(kMaxRanks <= 64);  // so that a RankSet holds all

// "Until *counter >= target". Once true it stays true, unless the run has failed.
struct Wait {
  const std::atomic<uint64_t>& counter;
  uint64_t target;
  RankSet peers;             // it takes something from each of these
  const Post& post;          // the call it is part of
  const std::string& group;  // " among ranks 1, 3"; empty if that is all ranks
  // False where peers may be reading this rank's memory: then the failure of others is no reason
  // to stop waiting, only the peers' leaving is.
  bool releasable = true;

  bool over() const { return counter.load() >= target; }
};

// Threads: all members may be called by all ranks at once.
class Board {
 public:
  // `oversubscribed`: there are more threads than cores, so that spinning keeps peers from running.
  Board(const Mesh& mesh, double timeout_s, bool oversubscribed);
  int ranks() const { return mesh_.ranks(); }
  const Mesh& mesh() const { return mesh_; }
  void watch(int rank, const Rank& state);  // before the ranks start

  // Returns when the wait is over: spins briefly, then sleeps. Throws if it can never be over, or
  // if the run has failed; the same error on every rank, but PeerFailed if a rank threw.
  void wait(int rank, const Wait& wait);
  // To be called after raising a counter for which one of `ranks` may be asleep.
  void wake(RankSet ranks);

  // The run has failed, found by a rank that can say how. Throws.
  [[noreturn]] void fail(const std::string& problem, const std::string& fix);
  void throw_if_failed();

  void count_collective(int rank) { ++seat(rank).collectives; }
  // The rank returned, or threw `error`: whoever waits for it is released. The last call of a rank.
  void leave(int rank, std::exception_ptr error);
  // After all have left: the first failure, with the name of the rank that threw it; null if none.
  std::exception_ptr failure() const;
  std::string name_of(int rank) const { return mesh_.rank_name(rank); }

 private:
  using Lock = std::unique_lock<std::mutex>;
  struct alignas(128) Seat {
    const Rank* state = nullptr;
    const Wait* wait = nullptr;  // while asleep
    uint64_t collectives = 0;    // counted by the rank itself, read by others once it has left
    std::condition_variable wakeup;
  };

  Seat& seat(int rank) { return seats_[static_cast<size_t>(rank)]; }
  bool spin(const Wait& wait) const;
  void sleep(int rank, const Wait& wait, Lock& lock);
  bool released(const Wait& wait) const;
  void look_for_stuck_ranks(Lock& lock);
  template <class Headline>  // makes the text; it may find no memory for that
  void declare(const Headline& headline, Lock& lock);
  void settle_verdict(const std::string& problem, const std::string& fix);
  void settle_exception(int thrower, std::exception_ptr thrown);
  [[noreturn]] void throw_failure() const;
  void wake_all_locked();
  std::string describe(int rank);

  const RankSet all_;
  const Mesh mesh_;
  const double timeout_s_;
  const bool oversubscribed_;
  std::array<Seat, kMaxRanks> seats_;

  std::mutex mutex_;  // guards all below; `asleep_` and `failed_` may be read without it
  std::atomic<RankSet> asleep_{0};
  std::atomic<bool> failed_{false};
  RankSet left_ = 0;
  bool nobody_can_go_on_ = false;
  bool declaring_ = false;
  std::condition_variable settled_;  // a rank fell asleep or left
  std::string problem_, fix_;        // what failed, if the board found it
  int thrower_ = -1;                 // who threw first, if a rank did
  std::exception_ptr thrown_;
};

}  // namespace tplab
