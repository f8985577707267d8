#include "cli/worlds_in_turn.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace tplab::cli {

void TurnOrder::run(int64_t rounds, const BeforeTurn& before_turn,
                    const std::function<void(size_t)>& live) {
  {
    std::vector<std::jthread> threads;  // one a world
    const auto thread_of = [&](size_t world) {
      std::exception_ptr error;
      try {
        live(world);
      } catch (...) {
        error = std::current_exception();
      }
      close(std::move(error));
    };
    try {
      for (size_t world = 0; world < places_.size(); ++world)
        threads.emplace_back(thread_of, world);
      bool all_live = true;
      for (int64_t round = 0; round < rounds && all_live; ++round)
        for (size_t world = 0; world < places_.size() && all_live; ++world) {
          before_turn(round, world);
          all_live = give_turn(world);
        }
      close({});
    } catch (...) {  // no more threads, say: those that there are must not wait for a turn
      close(std::current_exception());
    }
  }
  if (error_) std::rethrow_exception(error_);
}

bool TurnOrder::give_turn(size_t world) {
  std::unique_lock lock(mutex_);
  Place& place = places_[world];
  ++place.begun;
  changed_.notify_all();
  changed_.wait(lock, [&] { return closed_ || place.ended == place.begun; });
  return !closed_;
}

void TurnOrder::end(size_t world, int64_t turn) {
  const std::lock_guard lock(mutex_);
  places_[world].ended = std::max(places_[world].ended, turn + 1);
  changed_.notify_all();
}

bool TurnOrder::await(size_t world, int64_t turn) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return closed_ || places_[world].begun > turn; });
  return !closed_;
}

void TurnOrder::close(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (error && !error_) error_ = std::move(error);  // one may come after the last turn
  closed_ = true;
  changed_.notify_all();
}

bool RankTurns::next() {
  if (begun_ > 0) {
    rank_.comm().barrier();  // fails if a peer failed, which then will not come to another turn
    rank_.dp_comm().barrier();
    order_.end(world_, begun_ - 1);  // the first one here says it for all
  }
  return order_.await(world_, begun_++);
}

}  // namespace tplab::cli
