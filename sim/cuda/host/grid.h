// How a kernel runs on the CPU: blocks one after another, a block's threads as fibers that take
// turns. What sim/cuda/host/language.h makes CUDA's words of.
//
// A thread runs until it waits for others, at a barrier or in an operation of its warp; so what
// lies between two such places is done by one thread at a time, in an order that differs from block
// to block and from launch to launch (upwards, downwards, shuffled). A barrier that is missing then
// shows as numbers that were not written yet, or no longer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace tplab::cuda_host {

struct Dimensions {
  unsigned x, y, z;
  constexpr Dimensions(unsigned x_size = 1, unsigned y_size = 1, unsigned z_size = 1)
      : x(x_size), y(y_size), z(z_size) {}
  constexpr uint64_t count() const { return uint64_t{x} * y * z; }
};

constexpr unsigned kWarpSize = 32;

// A line of a kernel's source.
struct Place {
  const char* file;
  int line;
};

// The lanes that an operation of a warp brings together; null where a lane takes no part.
struct Lanes {
  void* of[kWarpSize];
};
// Reads what the lanes give and writes what they get; called once, when the last one is there.
using Together = void (*)(const Lanes& lanes);

struct AsyncCopy {
  void* to;
  const void* from;  // null: zeros
  size_t bytes;
};

// One thread of the block that runs.
struct Thread {
  Dimensions index;
  unsigned number = 0;  // in its block
  unsigned lane() const { return number % kWarpSize; }

  // Copies under way: those of the group that is open, and groups that are complete.
  std::vector<AsyncCopy> open_group;
  std::vector<std::vector<AsyncCopy>> groups;
};

// What the thread that runs now sees. Null outside a kernel.
extern constinit thread_local Thread* current_thread;
struct Grid {
  Dimensions blocks, threads, block;
};
extern constinit thread_local Grid current_grid;

// --- What a thread may do. Each throws Error(run), with kernel, block, thread and line, for what
// CUDA leaves undefined.

// Until all threads of the block are at this very line.
void wait_for_block(const Place& place);
// Until all lanes of the mask are there, with the same `together`, which is then called.
void wait_for_lanes(unsigned mask, Together together, void* mine, const Place& place);
// The block's memory for a static array, the same for all threads at `key`: NaN bytes until it is
// written, with bytes around it that nobody may touch.
void* static_shared_memory(const void* key, size_t bytes);
void* dynamic_shared_memory();
[[noreturn]] void fail_in_kernel(const std::string& what, const Place& place);
// `p` is to be a multiple of so many bytes.
void expect_aligned(const void* p, size_t alignment, const Place& place);

// Runs body(arguments) in every thread of the grid. Throws Error(run) for a grid that no GPU has,
// for a barrier that not all threads of a block reach, for writes around shared memory; and what
// the body throws.
struct Shape {
  const char* kernel;
  Dimensions blocks, threads;
  size_t shared_bytes;
};
void run(const Shape& shape, void (*body)(const void*), const void* arguments);

// Where set, what this thread would do for its stream is written down there, with all that it is
// given, and not done: a captured step.
using Work = std::vector<std::function<void()>>;
extern constinit thread_local Work* written_work;

// The orders of this thread's next launches are those after a start.
void restart_orders(uint64_t seed);

}  // namespace tplab::cuda_host
