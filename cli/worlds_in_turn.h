// Several worlds that live at the same time and run one at a time, so that their timings are taken
// side by side: a slow second of the machine then hits all of them.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <type_traits>
#include <vector>

#include "sim/machine/processes.h"
#include "sim/machine/world.h"

namespace tplab::cli {

// Called before a turn, by the thread that asked for all of them.
using BeforeTurn = std::function<void(int64_t round, size_t world)>;

// Whose turn it is, in this process. It carries nothing else: what a turn has measured is its
// rank's, until the rank's body returns it.
class TurnOrder {
 public:
  explicit TurnOrder(size_t worlds) : places_(worlds) {}

  // Calls live(world) for all worlds at once, and gives each of them a turn in every round. Returns
  // when all calls have; throws what the first of them threw.
  void run(int64_t rounds, const BeforeTurn& before_turn, const std::function<void(size_t)>& live);

  // For ranks: turn number `turn` of a world, from 0, is over on all its ranks.
  void end(size_t world, int64_t turn);
  // Waits for that turn. False when there will be none.
  bool await(size_t world, int64_t turn);

 private:
  struct Place {
    int64_t begun = 0, ended = 0;
  };
  bool give_turn(size_t world);  // and waits for its end; false when a world has left
  void close(std::exception_ptr error);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Place> places_;
  bool closed_ = false;
  std::exception_ptr error_;
};

// The turns of one rank.
class RankTurns {
 public:
  RankTurns(TurnOrder& order, size_t world, Rank& rank)
      : order_(order), world_(world), rank_(rank) {}

  // Ends the turn before, when all ranks of the world are here, and waits for the next; the ranks
  // of the other worlds sleep meanwhile. False after the last: the body then returns.
  bool next();

 private:
  TurnOrder& order_;
  size_t world_;
  Rank& rank_;
  int64_t begun_ = 0;
};

// Runs body(world, rank, turns) on every rank of every world and returns what the bodies returned,
// by world and global index. A body does what it does between two calls of turns.next(). Where
// ranks are processes, which can be of one world at a time, a world has all its turns before the
// next one lives. Throws what World's constructor throws, and what a rank threw.
template <class Body>
auto run_in_turn(const std::vector<WorldOptions>& options, int64_t rounds,
                 const BeforeTurn& before_turn, const Body& body) {
  using Result = std::invoke_result_t<const Body&, size_t, Rank&, RankTurns&>;
  std::vector<World> worlds(options.begin(), options.end());
  std::vector<std::vector<Result>> results(worlds.size());
  const auto live = [&](size_t w, TurnOrder& order, size_t place) {
    auto [of_ranks, records] = worlds[w].run([&, w, place](Rank& rank) {
      RankTurns turns(order, place, rank);
      return body(w, rank, turns);
    });
    results[w] = std::move(of_ranks);
  };
  if (processes()) {
    for (size_t w = 0; w < worlds.size(); ++w) {
      TurnOrder alone(1);
      alone.run(
          rounds, [&](int64_t round, size_t) { before_turn(round, w); },
          [&](size_t place) { live(w, alone, place); });
    }
    return results;
  }
  TurnOrder order(worlds.size());
  order.run(rounds, before_turn, [&](size_t w) { live(w, order, w); });
  return results;
}

}  // namespace tplab::cli
