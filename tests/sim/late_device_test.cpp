// Ranks whose devices are still at work when a call returns, as GPUs are: every collective gives
// the bits that it gives on the CPU, because devices wait for one another where ranks meet.
#include <catch2/catch.hpp>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "ranks.h"

namespace tplab {
namespace {

// Does what it is given in that order, on a thread of its own, some time later. One that reaches no
// peers refuses to add up, or to write, memory that is not its own.
class LateDevice final : public Device {
 public:
  LateDevice(std::unique_ptr<Device> device, unsigned seed, bool reaches_peers)
      : device_(std::move(device)),
        reaches_peers_(reaches_peers),
        random_(seed + 1),
        worker_([this] { work(); }) {}
  ~LateDevice() override {
    later([this] { over_ = true; });
    worker_.join();
  }
  LateDevice(const LateDevice&) = delete;
  LateDevice& operator=(const LateDevice&) = delete;

  std::string_view name() const override { return "late"; }
  bool reaches_peers() const override { return reaches_peers_; }
  Array allocate(DType dtype, const Shape& shape) override {
    Array x = device_->allocate(dtype, shape);
    own_.emplace_back(static_cast<const char*>(x.data()), x.bytes());
    return x;
  }
  void upload(HostSpan from, Array& to) override {
    wait();
    device_->upload(from, to);
  }
  void download(const Array& from, HostSpan to) override {
    wait();
    device_->download(from, to);
  }
  void zero(Array& x) override {
    wait();
    device_->zero(x);
  }
  MemoryUse memory() const override { return device_->memory(); }
  void run(const Operation& operation) override {
    wait();
    device_->run(operation);
  }
  void wait() override {
    const auto moment = std::static_pointer_cast<Moment>(record());
    moment->wait();
  }
  void sum(std::span<const void* const> terms, void* out, DType dtype, int64_t count) override {
    for (const void* term : terms) expect_own(term);
    expect_own(out);
    later([this, from = std::vector(terms.begin(), terms.end()), out, dtype, count] {
      device_->sum(from, out, dtype, count);
    });
  }
  void max(std::span<const void* const> terms, void* out, DType dtype, int64_t count) override {
    for (const void* term : terms) expect_own(term);
    expect_own(out);
    later([this, from = std::vector(terms.begin(), terms.end()), out, dtype, count] {
      device_->max(from, out, dtype, count);
    });
  }
  void copy(const void* from, void* to, int64_t bytes) override {
    expect_own(to);
    later([this, from, to, bytes] { device_->copy(from, to, bytes); });
  }
  void read(std::span<const Array>) override {}

  std::shared_ptr<void> record() override {
    auto moment = std::make_shared<Moment>();
    later([moment] { moment->come(); });
    return moment;
  }
  void wait_for(const std::shared_ptr<void>& moment) override {
    later([one = std::static_pointer_cast<Moment>(moment)] { one->wait(); });
  }

 private:
  class Moment {
   public:
    void come() {
      const std::lock_guard lock(mutex_);
      here_ = true;
      changed_.notify_all();
    }
    void wait() {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return here_; });
    }

   private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool here_ = false;
  };

  void expect_own(const void* p) const {
    if (reaches_peers_) return;
    for (const auto& [begin, bytes] : own_)
      if (p >= begin && p < begin + bytes) return;
    throw Error(ErrorKind::run, "a device without peers was given their memory", "");
  }

  void later(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
    changed_.notify_one();
  }
  void work() {
    while (!over_) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return !queue_.empty(); });
      const std::function<void()> next = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      random_ = random_ * 1103515245u + 12345u;
      if (random_ >> 16 & 1) std::this_thread::sleep_for(std::chrono::microseconds(random_ >> 22));
      next();
    }
  }

  const std::unique_ptr<Device> device_;
  const bool reaches_peers_;
  std::vector<std::pair<const char*, int64_t>> own_;
  unsigned random_;
  bool over_ = false;  // the worker's
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  std::thread worker_;
};

std::vector<double> numbers(Rank& rank, const Array& x) {
  std::vector<double> list(static_cast<size_t>(x.count()));
  rank.device().download(x, {DType::f64, list.data(), x.count()});
  return list;
}

// Collectives one after the other on the same arrays, with nothing that waits between them.
std::vector<double> many_collectives(Rank& rank) {
  constexpr int64_t kPart = 37;
  Comm& comm = rank.comm();
  const int n = rank.size(), me = rank.index();
  const auto rough = [&](int64_t i) { return rough_term(me, i); };
  Array whole = make_array(rank, DType::f64, n * kPart, rough);
  Array part = make_array(rank, DType::f64, kPart, rough);
  Array other = make_array(rank, DType::f64, n * kPart, rough);
  for (int round = 0; round < 4; ++round) {
    comm.all_reduce(whole);
    comm.reduce_scatter(whole, part);
    comm.all_gather(part, other);
    comm.all_to_all(other, whole);
    comm.broadcast(part, round % n);
    comm.all_reduce(part, Reduce::max);
    if (me % 2 == 0) {
      comm.send(whole, me + 1);
      comm.recv(other, me + 1);
    } else {
      comm.recv(other, me - 1);
      comm.send(whole, me - 1);
    }
    comm.all_reduce(other);
  }
  std::vector<double> all = numbers(rank, whole);
  for (const Array* x : {&part, &other})
    for (double value : numbers(rank, *x)) all.push_back(value);
  return all;
}

WorldOptions late(WorldOptions options, bool reaches_peers = true) {
  options.wrap_device = [=](int rank, std::unique_ptr<Device> device) -> std::unique_ptr<Device> {
    return std::make_unique<LateDevice>(std::move(device), static_cast<unsigned>(rank),
                                        reaches_peers);
  };
  return options;
}

TEST_CASE("late devices: collectives give the CPU's bits, by every algorithm, and without peers") {
  const auto algorithm =
      GENERATE(Algorithm::direct, Algorithm::ring, Algorithm::tree, Algorithm::gather);
  const WorldOptions options{.tp = 4, .algorithm = algorithm, .threads_per_rank = 1};
  const auto expected = World(options).run(many_collectives).results;
  for (int run = 0; run < 5; ++run) {
    CHECK(World(late(options)).run(many_collectives).results == expected);
    CHECK(World(late(options, false)).run(many_collectives).results == expected);
  }
}

TEST_CASE("late devices: a barrier returns when what every rank gave its device is done") {
  const WorldOptions options{.tp = 2, .threads_per_rank = 1};
  const auto returned = World(late(options)).run([](Rank& rank) {
    Array from = make_array(rank, DType::f64, 1000, [](int64_t i) { return term(1, i); });
    Array to = make_array(rank, DType::f64, 1000, [](int64_t) { return -1.0; });
    for (int i = 0; i < 20; ++i) rank.device().copy(from.data(), to.data(), from.bytes());
    rank.comm().barrier();
    return std::memcmp(from.data(), to.data(), static_cast<size_t>(from.bytes()));
  });
  CHECK(returned.results == std::vector<int>{0, 0});
}

}  // namespace
}  // namespace tplab
