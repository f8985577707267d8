#include "cli/worlds_in_turn.h"

#include <utility>

namespace tplab::cli {

WorldsInTurn::WorldsInTurn(const std::vector<WorldOptions>& options, Prepare prepare)
    : prepare_(std::move(prepare)) {
  for (const WorldOptions& one : options) entries_.push_back({World(one)});
  try {
    for (size_t world = 0; world < entries_.size(); ++world)
      threads_.emplace_back([this, world] { live(world); });
  } catch (...) {  // no more threads: those that there are must not wait for a turn
    close({});
    throw;
  }
}

WorldsInTurn::~WorldsInTurn() { close({}); }

void WorldsInTurn::run(size_t world) {
  std::unique_lock lock(mutex_);
  Entry& entry = entries_[world];
  ++entry.turns_begun;
  changed_.notify_all();
  changed_.wait(lock, [&] { return closed_ || entry.turns_done == entry.turns_begun; });
  if (error_) std::rethrow_exception(error_);
}

void WorldsInTurn::live(size_t world) {
  try {
    entries_[world].world.run([this, world](Rank& rank) { body(world, rank); });
  } catch (...) {
    close(std::current_exception());
  }
}

void WorldsInTurn::body(size_t world, Rank& rank) {
  Turn turn;
  for (int64_t seen = 0; await_turn(world, seen); ++seen) {
    if (!turn) turn = prepare_(world, rank);
    turn();
    rank.comm().barrier();  // fails if a peer failed, which then will not come to another turn
    rank.dp_comm().barrier();
    if (rank.global_index() > 0) continue;
    const std::lock_guard lock(mutex_);
    ++entries_[world].turns_done;
    changed_.notify_all();
  }
}

bool WorldsInTurn::await_turn(size_t world, int64_t seen) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return closed_ || entries_[world].turns_begun > seen; });
  return !closed_;
}

void WorldsInTurn::close(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (!closed_) error_ = std::move(error);
  closed_ = true;
  changed_.notify_all();
}

}  // namespace tplab::cli
