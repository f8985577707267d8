#include "sim/threads/board.h"

#include <fmt/format.h>
#include <sched.h>

#include <bit>
#include <new>
#include <utility>

#include "sim/machine/ledger.h"

namespace tplab {
namespace {

constexpr int64_t kSpinNs = 50'000;
constexpr int64_t kEagerNs = 2'000;  // of which without offering the core
constexpr int kYields = 4;
// Ranks on their way into a wait get this long to arrive, so that the list says what they do.
constexpr std::chrono::milliseconds kGrace{100};

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <class F>
void for_each_rank(RankSet ranks, F&& f) {
  for (; ranks != 0; ranks &= ranks - 1) f(std::countr_zero(ranks));
}

}  // namespace

Board::Board(const Mesh& mesh, double timeout_s, bool oversubscribed)
    : all_(first_ranks(mesh.ranks())),
      mesh_(mesh),
      timeout_s_(timeout_s),
      oversubscribed_(oversubscribed) {}

void Board::watch(int rank, const Rank& state) { seat(rank).state = &state; }

void Board::wait(int rank, const Wait& wait) {
  if (spin(wait)) return;
  Lock lock(mutex_);
  seat(rank).wait = &wait;
  // From here on a peer that raises the counter sees that it must wake this rank; if it raised the
  // counter before, sleep() sees that. (Both are sequentially consistent.)
  asleep_.fetch_or(rank_set(rank));
  settled_.notify_all();
  sleep(rank, wait, lock);
  asleep_.fetch_and(~rank_set(rank));
  if (!wait.over()) throw_failure();
}

// A peer that is running comes within microseconds. One that is not may be waiting for this very
// core, so after that the core is offered to others; where threads outnumber cores, at once.
bool Board::spin(const Wait& wait) const {
  const int64_t start = now_ns();
  while (!oversubscribed_ && now_ns() < start + kEagerNs) {
    for (int i = 0; i < 16; ++i) {
      if (wait.over()) return true;
      relax();
    }
  }
  for (int yields = 0; yields < kYields || (!oversubscribed_ && now_ns() < start + kSpinNs);
       ++yields) {
    if (wait.over()) return true;
    sched_yield();
  }
  return wait.over();
}

// Ends the run with an error that lists what every rank is doing. May let go of the lock for a
// while; what is stuck stays stuck.
template <class Headline>
void Board::declare(const Headline& headline, Lock& lock) {
  if (declaring_) settled_.wait(lock, [&] { return failed_.load(); });
  if (failed_) return;
  declaring_ = true;
  settled_.wait_for(lock, kGrace, [&] { return failed_ || (asleep_ | left_) == all_; });
  declaring_ = false;
  if (failed_) return;
  try {
    std::string problem = headline();
    for (int rank = 0; rank < ranks(); ++rank) problem += "\n  " + describe(rank);
    settle_verdict(problem,
                   "make every rank of a group call the same collectives in the same order, and "
                   "pair each send with a recv");
  } catch (const std::bad_alloc&) {  // for the words: the run ends all the same
    settle_exception(0, std::current_exception());
  }
}

// Returns when the wait is over or the rank is released from it by a failure.
void Board::sleep(int rank, const Wait& wait, Lock& lock) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::duration_cast<std::chrono::nanoseconds>(
                                             std::chrono::duration<double>(timeout_s_));
  while (!wait.over()) {
    look_for_stuck_ranks(lock);
    if (wait.over() || released(wait)) return;
    if (std::chrono::steady_clock::now() >= deadline) {
      declare([&] { return fmt::format("{} has waited for {} s", name_of(rank), timeout_s_); },
              lock);
      return;
    }
    seat(rank).wakeup.wait_until(lock, deadline);
  }
}

bool Board::released(const Wait& wait) const {
  if (!failed_) return false;
  return wait.releasable || nobody_can_go_on_ || (wait.peers & left_) != 0;
}

// Finds waits that can never be over. Exact however slow the machine is: counters are raised only
// by ranks that neither sleep nor have left, and a rank does both under the mutex.
void Board::look_for_stuck_ranks(Lock& lock) {
  const RankSet asleep = asleep_;
  const bool all_settled = (asleep | left_) == all_;
  if (left_ == 0 && !all_settled) return;
  int abandoned = -1;
  bool can_go_on = !all_settled;
  for_each_rank(asleep, [&](int rank) {
    const Wait& wait = *seat(rank).wait;
    if (wait.over()) {
      can_go_on = true;
    } else if (abandoned < 0 && (wait.peers & left_) != 0) {
      abandoned = rank;
    }
  });
  if (asleep != 0 && !can_go_on) {
    nobody_can_go_on_ = true;
    wake_all_locked();
  }
  if (abandoned >= 0) {
    const int gone = std::countr_zero(seat(abandoned).wait->peers & left_);
    declare(
        [&] {
          return fmt::format("{} waits for {}, which has returned", name_of(abandoned),
                             name_of(gone));
        },
        lock);
  } else if (asleep != 0 && !can_go_on) {
    declare([] { return std::string("deadlock: every rank waits for another"); }, lock);
  }
}

std::string Board::describe(int rank) {
  const Seat& seat = this->seat(rank);
  if (left_ & rank_set(rank)) {
    return fmt::format("{}: returned after {} collectives", name_of(rank), seat.collectives);
  }
  if (asleep_ & rank_set(rank)) {
    return fmt::format("{}: waiting in {}{}", name_of(rank), seat.wait->post.text(),
                       seat.wait->group);
  }
  return name_of(rank) + ": " + computing_at(seat.state->site());
}

void Board::settle_verdict(const std::string& problem, const std::string& fix) {
  if (failed_) return;
  problem_ = problem;
  fix_ = fix;
  failed_ = true;
  wake_all_locked();
}

void Board::settle_exception(int thrower, std::exception_ptr thrown) {
  thrower_ = thrower;
  thrown_ = std::move(thrown);
  failed_ = true;
  wake_all_locked();
}

void Board::fail(const std::string& problem, const std::string& fix) {
  Lock lock(mutex_);
  settle_verdict(problem, fix);
  throw_failure();
}

void Board::throw_if_failed() {
  if (!failed_.load(std::memory_order_relaxed)) return;
  Lock lock(mutex_);
  throw_failure();
}

void Board::throw_failure() const {
  if (thrower_ >= 0) throw PeerFailed(name_of(thrower_));
  throw Error(ErrorKind::run, problem_, fix_);
}

void Board::wake(RankSet ranks) {
  if ((asleep_.load() & ranks) == 0) return;
  RankSet ready = 0;
  {
    Lock lock(mutex_);
    for_each_rank(asleep_ & ranks, [&](int rank) {
      if (seat(rank).wait->over()) ready |= rank_set(rank);
    });
  }
  for_each_rank(ready, [&](int rank) { seat(rank).wakeup.notify_one(); });
}

void Board::wake_all_locked() {
  for_each_rank(asleep_, [&](int rank) { seat(rank).wakeup.notify_one(); });
  settled_.notify_all();
}

void Board::leave(int rank, std::exception_ptr error) {
  Lock lock(mutex_);
  left_ |= rank_set(rank);
  if (error && !failed_) settle_exception(rank, std::move(error));
  look_for_stuck_ranks(lock);
  if (failed_) wake_all_locked();
  settled_.notify_all();
}

std::exception_ptr Board::failure() const {
  if (!failed_) return nullptr;
  if (thrower_ < 0) return std::make_exception_ptr(Error(ErrorKind::run, problem_, fix_));
  const Error error = as_error(thrown_);
  return std::make_exception_ptr(
      Error(error.kind(), name_of(thrower_) + ": " + error.problem(), error.fix()));
}

}  // namespace tplab
