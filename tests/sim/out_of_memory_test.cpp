// What happens when there is no memory: an error that says so, never the end of the process.
//
// operator new is replaced for this whole test program: it can be told to fail once.
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <new>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include "sim/error.h"
#include "sim/machine/world.h"
#include "tests/sim/numbers.h"

namespace {
std::atomic<int64_t> left_until_failure{-1};  // below 0: none fails
}

[[gnu::noinline]] void* operator new(size_t bytes) {
  if (left_until_failure.load() >= 0 && left_until_failure.fetch_sub(1) == 0)
    throw std::bad_alloc();
  if (void* const memory = std::malloc(bytes > 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
// Catch2 asks with this one, and AddressSanitizer has one of its own where it is not replaced too.
[[gnu::noinline]] void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return std::malloc(bytes > 0 ? bytes : 1);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace tplab {
namespace {

template <class F>
std::optional<Error> error_of(F f) {
  try {
    f();
  } catch (...) {
    return as_error(std::current_exception());
  }
  return {};
}

struct Outcome {
  std::optional<Error> error;
  bool has_failed;  // the allocation
};

// Does f, whose nth allocation fails.
template <class F>
Outcome outcome_of(int64_t n, F f) {
  bool has_failed = false;
  const auto stop = [&] { has_failed = left_until_failure.exchange(-1) < 0; };
  std::optional<Error> error = error_of([&] {
    left_until_failure = n;
    try {
      f();
    } catch (...) {
      stop();
      throw;
    }
    stop();
  });
  return {std::move(error), has_failed};
}

// Does f with its nth allocation failing, for n = 0, 1, ..., until it has no nth: how many it has.
// Each time f must do its work or say that there is no memory.
template <class F>
int64_t fail_each_allocation(F f) {
  for (int64_t n = 0; n < 100'000; ++n) {
    const auto [error, has_failed] = outcome_of(n, f);
    if (error) {
      CAPTURE(n, error->what());
      CHECK(error->kind() == ErrorKind::unavailable);
    }
    if (!has_failed) return n;
  }
  FAIL("it allocates without end");
  return -1;
}

// A little of everything that ranks do: operations on lanes, scopes, collectives, messages.
void work(Rank& rank) {
  Device& device = rank.device();
  const auto scope = rank.at("layer");
  const Array x = numbers<float>(device, {2, 70, 24}, 1), w = numbers<float>(device, {24, 24}, 2);
  Array y = device.allocate(DType::f32, {2, 70, 24});
  device.run(op::Linear{x, w, {}, y});
  device.run(op::Activation{ActivationKind::gelu, y, y});
  rank.comm().all_reduce(y);
  Array heads = device.allocate(DType::f32, {2, 70, 8}),
        stats = device.allocate(DType::f32, {2, 2, 70, 2});
  const AttentionForm form{.heads = 2, .kv_heads = 2, .scale = 0.5};
  device.run(op::CausalAttention{form, y, {}, heads, stats});
  Array keys = device.allocate(DType::f32, {2, 2, 70, 4}),
        values = device.allocate(DType::f32, {2, 2, 70, 4});
  device.run(op::CachedAttention{form, y, {}, {}, keys, values, heads});
  rank.comm().barrier();
  static_cast<void>(sum_of_squares(device, y));
}

TEST_CASE("an allocation that fails on any rank, at any time, is an error of the machine") {
  for (const Algorithm algorithm : {Algorithm::direct, Algorithm::ring, Algorithm::gather}) {
    const int64_t count = fail_each_allocation(
        [&] { World({.tp = 3, .algorithm = algorithm, .threads_per_rank = 2}).run(work); });
    CHECK(count > 50);
  }
}

TEST_CASE("an allocation that fails while ranks report a deadlock still ends the run") {
  const auto deadlock = [] {
    World({.tp = 2, .threads_per_rank = 1}).run([](Rank& rank) {
      if (rank.index() == 0) return rank.comm().barrier();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // so that rank 0 sleeps by then
    });
  };
  bool has_failed = true;
  for (int64_t n = 0; has_failed; ++n) {
    const Outcome outcome = outcome_of(n, deadlock);
    CHECK(outcome.error);
    has_failed = outcome.has_failed;
  }
}

TEST_CASE("memory is given back without asking for any") {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  std::vector<Array> arrays;
  for (int64_t i = 1; i < 50; ++i) arrays.push_back(device->allocate(DType::f32, {i * 1000}));
  left_until_failure = 0;
  arrays.clear();
  const bool has_asked = left_until_failure.exchange(-1) < 0;
  CHECK_FALSE(has_asked);
  CHECK(device->memory().current_bytes == 0);
}

TEST_CASE("what limits throw is the machine's, what nobody should throw is a bug of ours") {
  const auto kind_of = [](auto thrown) { return error_of([&] { throw thrown; })->kind(); };
  CHECK(kind_of(std::bad_alloc()) == ErrorKind::unavailable);
  CHECK(kind_of(std::length_error("vector")) == ErrorKind::unavailable);
  CHECK(kind_of(std::system_error(EAGAIN, std::generic_category())) == ErrorKind::unavailable);
  CHECK(kind_of(std::system_error(ENOMEM, std::generic_category())) == ErrorKind::unavailable);
  CHECK(kind_of(std::system_error(EPERM, std::generic_category())) == ErrorKind::run);
  CHECK(kind_of(std::runtime_error("x")) == ErrorKind::run);
  CHECK(kind_of(1) == ErrorKind::run);
  CHECK(kind_of(Error(ErrorKind::bad_file, "x", "")) == ErrorKind::bad_file);
}

TEST_CASE("a place that is full or fails is the machine's, a path is the user's to mend") {
  const auto kind_of = [](int number) {
    return error_of([&] { fail_write("a.txt", number, "choose another"); })->kind();
  };
  for (const int full : {ENOSPC, EDQUOT, EFBIG, EIO, EMFILE})
    CHECK(kind_of(full) == ErrorKind::unavailable);
  for (const int path : {ENOENT, EACCES, EISDIR, ENOTDIR, EROFS, ENAMETOOLONG})
    CHECK(kind_of(path) == ErrorKind::usage);
}

}  // namespace
}  // namespace tplab
