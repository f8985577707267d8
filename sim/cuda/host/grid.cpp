#include "sim/cuda/host/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <numeric>
#include <string_view>

#include "sim/cuda/host/fibers.h"
#include "sim/cuda/host/shared_memory.h"
#include "sim/error.h"

namespace tplab::cuda_host {

constinit thread_local Thread* current_thread = nullptr;
constinit thread_local Grid current_grid;

namespace {

constexpr unsigned kMostThreads = 1024;
constexpr uint64_t kMostBlocksX = 0x7fffffff, kMostBlocksYZ = 65535;

std::string text(const Dimensions& d) { return fmt::format("({}, {}, {})", d.x, d.y, d.z); }

std::string text(const Place& place) {
  std::string_view file = place.file;
  if (const size_t at = file.rfind("sim/cuda/"); at != file.npos) file.remove_prefix(at);
  return fmt::format("{}:{}", file, place.line);
}

// SplitMix64: the next of a sequence of well mixed numbers (Steele et al. 2014).
uint64_t next_of(uint64_t& state) {
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

enum class State { ready, at_barrier, in_warp, done };

struct Worker {
  Thread thread;
  State state = State::ready;
  Fiber* fiber = nullptr;  // once it has begun, until it is done
  Place place{};           // where it waits
  void* mine = nullptr;    // for the operation of its warp
};

// Lanes of a warp that come together: those of `mask`, for one operation at one place.
struct Meeting {
  unsigned mask;
  Together together;
  Place place;
  unsigned arrived;
};

// The blocks that one thread of the program runs.
class Engine {
 public:
  void run(const Shape& shape, void (*body)(const void*), const void* arguments);
  void wait_for_block(const Place& place);
  void wait_for_lanes(unsigned mask, Together together, void* mine, const Place& place);
  void* static_shared(const void* key, size_t bytes);
  void* dynamic_shared() { return shared_.find(nullptr, 0); }
  void restart(uint64_t seed) { launches_ = seed; }
  std::string where() const {
    return fmt::format("kernel {}, block {}", shape_.kernel, text(current_grid.block));
  }

 private:
  struct Leave;  // sets `current_thread` back, whatever is thrown
  void run_block();
  void choose_order();
  void turn(Worker& worker);
  void release_block_or_fail();
  [[noreturn]] void fail_stuck() const;
  static void run_thread(void* worker);
  Worker& worker_of_current() { return workers_[current_thread->number]; }
  void wait(Worker& worker) {
    worker.fiber->leave();
    current_thread = &worker.thread;
  }

  Shape shape_{};
  void (*body_)(const void*) = nullptr;
  const void* arguments_ = nullptr;
  std::vector<Worker> workers_;
  std::vector<std::vector<Meeting>> meetings_;  // of each warp, most often one at a time
  std::vector<unsigned> order_;                 // in which the threads take turns
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> free_fibers_;
  SharedMemory shared_;
  std::exception_ptr thrown_;
  uint64_t launches_ = 0, random_ = 0;
};

Engine& engine() {
  static thread_local Engine one;
  return one;
}

void check(const Shape& s) {
  const bool fits = s.threads.count() <= kMostThreads && s.threads.z <= 64 &&
                    s.blocks.x <= kMostBlocksX && s.blocks.y <= kMostBlocksYZ &&
                    s.blocks.z <= kMostBlocksYZ && s.shared_bytes <= kSharedBytes &&
                    s.blocks.count() > 0 && s.threads.count() > 0;
  if (fits) return;
  throw Error(ErrorKind::run,
              fmt::format("kernel {}: no GPU runs a grid of {} blocks of {} threads with {} bytes "
                          "of shared memory",
                          s.kernel, text(s.blocks), text(s.threads), s.shared_bytes),
              "at most 1024 threads a block, 65535 blocks in y and z, 227 KiB of shared memory");
}

Dimensions coordinates(uint64_t number, const Dimensions& size) {
  return {static_cast<unsigned>(number % size.x), static_cast<unsigned>(number / size.x % size.y),
          static_cast<unsigned>(number / size.x / size.y)};
}

struct Engine::Leave {
  explicit Leave(Engine& e) : engine(e) {}
  ~Leave() {
    current_thread = nullptr;
    engine.free_fibers_.clear();
    for (const auto& fiber : engine.fibers_) engine.free_fibers_.push_back(fiber.get());
  }
  Leave(const Leave&) = delete;
  Leave& operator=(const Leave&) = delete;
  Engine& engine;
};

void Engine::run(const Shape& shape, void (*body)(const void*), const void* arguments) {
  check(shape);
  shape_ = shape;
  body_ = body;
  arguments_ = arguments;
  workers_.resize(static_cast<size_t>(shape.threads.count()));
  meetings_.resize((workers_.size() + kWarpSize - 1) / kWarpSize);
  shared_.begin_kernel(shape.shared_bytes);
  const Leave leave(*this);
  current_grid = {shape.blocks, shape.threads, {}};
  const uint64_t blocks = shape.blocks.count(), launch = launches_++;
  for (uint64_t i = 0; i < blocks; ++i) {
    const uint64_t number = launch % 2 == 0 ? i : blocks - 1 - i;
    current_grid.block = coordinates(number, shape.blocks);
    random_ = launch * 0x9e3779b97f4a7c15u + number;
    shared_.begin_block();
    run_block();
    if (shared_.touched_around()) {
      throw Error(ErrorKind::run, where() + ": wrote past the end of shared memory, or before it",
                  "compare the sizes of its shared arrays with the indices written");
    }
  }
}

void Engine::run_block() {
  thrown_ = nullptr;
  for (auto& of_warp : meetings_) of_warp.clear();
  for (size_t i = 0; i < workers_.size(); ++i) {
    Worker& w = workers_[i];
    w.thread.index = coordinates(i, shape_.threads);
    w.thread.number = static_cast<unsigned>(i);
    w.thread.open_group.clear();
    w.thread.groups.clear();
    w.state = State::ready;
    w.fiber = nullptr;
  }
  choose_order();
  for (;;) {
    bool moved = false;
    for (const unsigned i : order_) {
      Worker& worker = workers_[i];
      if (worker.state != State::ready) continue;
      moved = true;
      turn(worker);
      if (thrown_) std::rethrow_exception(thrown_);
    }
    if (moved) continue;
    const auto done = [](const Worker& w) { return w.state == State::done; };
    if (std::all_of(workers_.begin(), workers_.end(), done)) return;
    release_block_or_fail();
    choose_order();
  }
}

void Engine::choose_order() {
  order_.resize(workers_.size());
  std::iota(order_.begin(), order_.end(), 0u);
  const uint64_t kind = next_of(random_) % 4;
  if (kind == 1) std::reverse(order_.begin(), order_.end());
  if (kind < 2) return;
  for (size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[next_of(random_) % i]);
}

void Engine::turn(Worker& worker) {
  if (!worker.fiber) {
    if (free_fibers_.empty()) {
      fibers_.push_back(std::make_unique<Fiber>());
      free_fibers_.push_back(fibers_.back().get());
    }
    worker.fiber = free_fibers_.back();
    free_fibers_.pop_back();
    worker.fiber->start(run_thread, &worker);
  }
  current_thread = &worker.thread;
  if (!worker.fiber->resume()) return;
  free_fibers_.push_back(worker.fiber);
  worker.fiber = nullptr;
  worker.state = State::done;
}

void Engine::run_thread(void*) {
  Engine& e = engine();
  try {
    e.body_(e.arguments_);
  } catch (...) {
    e.thrown_ = std::current_exception();
  }
}

void Engine::wait_for_block(const Place& place) {
  Worker& w = worker_of_current();
  w.state = State::at_barrier;
  w.place = place;
  wait(w);
}

// All wait, or are done: good if all are at one barrier.
void Engine::release_block_or_fail() {
  const Place& first = workers_.front().place;
  const bool all = std::all_of(workers_.begin(), workers_.end(), [&](const Worker& w) {
    return w.state == State::at_barrier && w.place.line == first.line &&
           std::strcmp(w.place.file, first.file) == 0;
  });
  if (!all) fail_stuck();
  for (Worker& w : workers_) w.state = State::ready;
}

void Engine::fail_stuck() const {
  const auto count = [&](State state) {
    return std::count_if(workers_.begin(), workers_.end(),
                         [&](const Worker& w) { return w.state == state; });
  };
  std::string text_of_waiting;
  for (const State state : {State::at_barrier, State::in_warp}) {
    const auto waits = std::find_if(workers_.begin(), workers_.end(),
                                    [&](const Worker& w) { return w.state == state; });
    if (waits == workers_.end()) continue;
    text_of_waiting +=
        fmt::format(", {} {} at {} (thread {}, say)", count(state),
                    state == State::at_barrier ? "wait at a barrier" : "wait for lanes of a warp",
                    text(waits->place), waits->thread.number);
    for (const Worker& w : workers_) {
      if (w.state != state || w.place.line == waits->place.line) continue;
      text_of_waiting += fmt::format(", others at {}", text(w.place));
      break;
    }
  }
  throw Error(ErrorKind::run,
              fmt::format("{}: of {} threads {} are done{}, and the others never come", where(),
                          workers_.size(), count(State::done), text_of_waiting),
              "let all threads of a block reach each of its barriers, and all lanes of a mask each "
              "operation of their warp");
}

void Engine::wait_for_lanes(unsigned mask, Together together, void* mine, const Place& place) {
  Worker& w = worker_of_current();
  const unsigned first = w.thread.number - w.thread.lane();
  const size_t lanes = std::min<size_t>(kWarpSize, workers_.size() - first);
  if (!(mask >> w.thread.lane() & 1))
    fail_in_kernel(fmt::format("a mask, {:#x}, without the calling lane", mask), place);
  if (lanes < kWarpSize && mask >> lanes != 0)
    fail_in_kernel(fmt::format("a mask, {:#x}, of more lanes than its warp has", mask), place);
  w.mine = mine;
  w.place = place;
  std::vector<Meeting>& meetings = meetings_[w.thread.number / kWarpSize];
  auto meeting = std::find_if(meetings.begin(), meetings.end(), [&](const Meeting& m) {
    return m.mask == mask && m.together == together && m.place.line == place.line;
  });
  if (meeting == meetings.end())
    meeting = meetings.insert(meetings.end(), {mask, together, place, 0});
  meeting->arrived |= 1u << w.thread.lane();
  if (meeting->arrived != mask) {
    w.state = State::in_warp;
    wait(w);
    return;
  }
  meetings.erase(meeting);
  Lanes all{};
  for (unsigned lane = 0; lane < lanes; ++lane) {
    if (!(mask >> lane & 1)) continue;
    all.of[lane] = workers_[first + lane].mine;
    workers_[first + lane].state = State::ready;
  }
  if (together) together(all);
}

void* Engine::static_shared(const void* key, size_t bytes) {
  void* const at = shared_.find(key, bytes);
  if (at) return at;
  throw Error(ErrorKind::run,
              fmt::format("{}: {} bytes of shared memory, and a block may have {}", where(),
                          shared_.used(), kSharedBytes),
              "share fewer, or let more blocks work");
}

}  // namespace

constinit thread_local Work* written_work = nullptr;

void run(const Shape& shape, void (*body)(const void*), const void* arguments) {
  engine().run(shape, body, arguments);
}
void restart_orders(uint64_t seed) { engine().restart(seed); }
void wait_for_block(const Place& place) { engine().wait_for_block(place); }
void wait_for_lanes(unsigned mask, Together together, void* mine, const Place& place) {
  engine().wait_for_lanes(mask, together, mine, place);
}
void* static_shared_memory(const void* key, size_t bytes) {
  return engine().static_shared(key, bytes);
}
void* dynamic_shared_memory() { return engine().dynamic_shared(); }

void fail_in_kernel(const std::string& what, const Place& place) {
  throw Error(ErrorKind::run,
              fmt::format("{}, thread {}, {}: {}", engine().where(), text(current_thread->index),
                          text(place), what),
              "");
}

void expect_aligned(const void* p, size_t alignment, const Place& place) {
  if (reinterpret_cast<uintptr_t>(p) % alignment == 0) return;
  fail_in_kernel(
      fmt::format("{} bytes at once from or to an address that is no multiple of them", alignment),
      place);
}

}  // namespace tplab::cuda_host
