// The fork-join team: one mailbox a lane; whoever waits at it spins for a while, then sleeps.
#include "sim/threads/crew.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <chrono>
#include <exception>
#include <utility>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace tplab {
namespace {

// Long enough to bridge the gap between two operations of a rank, short enough to burn no core.
constexpr std::chrono::microseconds kSpin{50};

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until `state` is no longer `old`, and returns what it became.
uint32_t await_change(const std::atomic<uint32_t>& state, uint32_t old, bool spin) {
  constexpr int kTurns = 64;  // between looks at the clock
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  while (spin) {
    for (int i = 0; i < kTurns; ++i) {
      const uint32_t now = state.load(std::memory_order_acquire);
      if (now != old) return now;
      pause_briefly();
    }
    if (std::chrono::steady_clock::now() > deadline) break;
  }
  state.wait(old, std::memory_order_acquire);  // a futex: sleeps only while the value is still old
  return state.load(std::memory_order_acquire);
}

}  // namespace

// Each lane above 0 has a mailbox. Lane 0 writes the job, then state = posted; the lane runs it,
// then state = idle. So the job's fields are never touched by both sides at once, and a lane with
// no part in a loop is not woken.
struct Crew::Shared {
  enum State : uint32_t { idle, posted, closed };

  struct alignas(64) Mailbox {
    std::atomic<uint32_t> state{idle};
    const std::function<void(int64_t, int64_t)>* body = nullptr;
    int64_t begin = 0, end = 0;
    std::exception_ptr thrown;
  };

  Shared(int lanes, bool oversubscribed)
      : boxes(static_cast<size_t>(lanes)), spin(!oversubscribed) {}

  Mailbox& box(int lane) { return boxes[static_cast<size_t>(lane)]; }

  std::vector<Mailbox> boxes;  // boxes[0] is unused
  bool spin;
};

Crew::Crew(int lanes, bool oversubscribed)
    : lanes_(std::max(lanes, 1)), shared_(std::make_unique<Shared>(lanes_, oversubscribed)) {}

Crew::~Crew() = default;

void Crew::parallel_for(int64_t n, int64_t grain,
                        const std::function<void(int64_t begin, int64_t end)>& body) {
  if (n <= 0) return;
  const int64_t parts = std::clamp<int64_t>(n / std::max<int64_t>(grain, 1), 1, lanes_);
  if (parts == 1) return body(0, n);

  const auto start_of = [&](int64_t part) {
    return part * (n / parts) + std::min(part, n % parts);
  };
  for (int lane = 1; lane < parts; ++lane) {
    Shared::Mailbox& box = shared_->box(lane);
    box.body = &body;
    box.begin = start_of(lane);
    box.end = start_of(lane + 1);
    box.state.store(Shared::posted, std::memory_order_release);
    box.state.notify_one();
  }
  std::exception_ptr thrown;
  try {
    body(0, start_of(1));
  } catch (...) {  // the other lanes still use what `body` refers to
    thrown = std::current_exception();
  }
  for (int lane = 1; lane < parts; ++lane) {
    Shared::Mailbox& box = shared_->box(lane);
    await_change(box.state, Shared::posted, shared_->spin);
    std::exception_ptr lanes = std::exchange(box.thrown, nullptr);
    if (!thrown) thrown = std::move(lanes);
  }
  if (thrown) std::rethrow_exception(thrown);
}

void Crew::serve(int lane) {
  assert(lane > 0 && lane < lanes_);
  Shared::Mailbox& box = shared_->box(lane);
  while (await_change(box.state, Shared::idle, shared_->spin) != Shared::closed) {
    try {
      (*box.body)(box.begin, box.end);
    } catch (...) {
      box.thrown = std::current_exception();
    }
    box.state.store(Shared::idle, std::memory_order_release);
    box.state.notify_one();
  }
}

void Crew::close() {
  for (int lane = 1; lane < lanes_; ++lane) {
    shared_->box(lane).state.store(Shared::closed, std::memory_order_release);
    shared_->box(lane).state.notify_one();
  }
}

}  // namespace tplab
