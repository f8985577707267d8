// The pool of a CPU device: exact accounts, reuse, and arrays that outlive what made them.
#include <catch2/catch.hpp>
#include <cstring>
#include <thread>

#include "sim/cpu/memory.h"
#include "sim/error.h"
#include "tests/sim/numbers.h"

namespace tplab {
namespace {

constexpr int64_t kMiB = 1 << 20;

TEST_CASE("CpuMemory: counts the bytes that arrays asked for, now and at most") {
  const auto memory = make_cpu_memory();
  auto a = memory->allocate(DType::f32, Shape{3, 5});
  CHECK(memory->use().current_bytes == 60);
  auto b = memory->allocate(DType::f64, Shape{7});
  CHECK(memory->use().current_bytes == 116);
  a.reset();
  CHECK(memory->use().current_bytes == 56);
  CHECK(memory->use().peak_bytes == 116);
  b.reset();
  CHECK(memory->use().current_bytes == 0);
}

TEST_CASE("CpuMemory: blocks are aligned, writable to their end, and never null") {
  const auto memory = make_cpu_memory();
  for (const int64_t count : {int64_t{0}, int64_t{1}, int64_t{17}, kMiB / 2, kMiB / 2 + 1}) {
    const auto block = memory->allocate(DType::f32, Shape{count});
    REQUIRE(block != nullptr);
    const uintptr_t alignment = count * 4 >= 2 * kMiB ? 2 * kMiB : 64;
    CHECK(reinterpret_cast<uintptr_t>(block.get()) % alignment == 0);
    std::memset(block.get(), 1, static_cast<size_t>(count) * 4);
  }
}

TEST_CASE("CpuMemory: a freed block serves the next request of its size") {
  const auto memory = make_cpu_memory();
  for (const int64_t count : {int64_t{16}, kMiB}) {
    auto block = memory->allocate(DType::f32, Shape{count});
    const void* const where = block.get();
    block.reset();
    block = memory->allocate(DType::f32, Shape{count});
    CHECK(block.get() == where);
  }
}

TEST_CASE("CpuMemory: what is kept and what is used together stay near the peak of what was used") {
  const auto memory = make_cpu_memory();
  for (int64_t size = 2; size < 60; ++size) {  // a staging buffer of another size each time
    const auto staging = memory->allocate(DType::f32, Shape{size * kMiB});
  }
  const MemoryUse use = memory->use();
  CHECK(use.peak_bytes == 59 * 4 * kMiB);
  CHECK(memory->kept_bytes() <= use.peak_bytes + use.peak_bytes / 16 + 16 * kMiB);
}

TEST_CASE("CpuMemory: when its device is gone nothing is kept, and what a rank returned stays") {
  const auto memory = make_cpu_memory();
  auto result = memory->allocate(DType::f64, Shape{1 << 20});
  static_cast<double*>(result.get())[(1 << 20) - 1] = 7;
  memory->allocate(DType::f64, Shape{1 << 21}).reset();
  CHECK(memory->kept_bytes() > 0);
  memory->close();
  CHECK(memory->kept_bytes() == 0);
  CHECK(static_cast<double*>(result.get())[(1 << 20) - 1] == 7);
  result.reset();
  CHECK(memory->kept_bytes() == 0);
  CHECK(memory->use().current_bytes == 0);
}

TEST_CASE("CpuMemory: what no machine has is refused, with the size") {
  const auto memory = make_cpu_memory();
  for (const Shape& shape : {Shape{int64_t{1} << 45}, Shape{int64_t{1} << 62, int64_t{1} << 62},
                             Shape{-1, 4}, Shape{int64_t{1} << 40, 3}}) {
    try {
      memory->allocate(DType::f64, shape);
      FAIL("allocated " << shape.text());
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::unavailable);
      CHECK_THAT(error.what(), Catch::Contains(shape.text()));
    }
  }
  CHECK(memory->use().peak_bytes == 0);
}

TEST_CASE("CPU device: an array may outlive its device, and be freed by another thread") {
  Array array;
  {
    Team team(1);
    array = make_cpu_device(team.crew())->allocate(DType::f32, Shape{1000});
  }
  array.as<float>()[999] = 1;
  std::thread([moved = std::move(array)]() mutable { moved = Array(); }).join();
  CHECK(!array.present());
}

TEST_CASE("CpuMemory: threads may allocate and free at once") {
  const auto memory = make_cpu_memory();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t i = 0; i < 200; ++i) {
        const auto block = memory->allocate(DType::f32, Shape{16 * (i % 7 + t + 1)});
        *static_cast<float*>(block.get()) = 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(memory->use().current_bytes == 0);
}

TEST_CASE("part: a view shares the array's numbers and keeps them alive") {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  Array x = numbers<double>(*device, Shape{10}, 1);
  Array part = x.part(4, Shape{2, 3});
  CHECK(part.data() == x.as<double>() + 4);
  CHECK(part.shape() == Shape{2, 3});
  part.as<double>()[5] = 7;
  CHECK(x.as<double>()[9] == 7);
  CHECK(!x.unique());
  x = Array();
  CHECK(part.as<double>()[5] == 7);
  CHECK(device->memory().current_bytes == 80);
}

}  // namespace
}  // namespace tplab
