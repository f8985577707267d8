// Work on many numbers, shared out over this machine's cores.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <future>
#include <system_error>
#include <vector>

#include "sim/machine/world.h"

namespace tplab {

// f(first, how many) for the tiles of [0, n), on as many threads as have enough to do for it to be
// worth it: `operations` are counted in all, in multiplications. Where the system gives fewer
// threads, those that there are do it all. What f throws is thrown.
template <class F>
void for_each_tile(int64_t n, int64_t tile, int64_t operations, const F& f) {
  constexpr int64_t kWorth = 2 << 20;  // a thread costs as much as some 200,000
  std::atomic<int64_t> next = 0;
  const auto work = [&] {
    for (int64_t i = next++ * tile; i < n; i = next++ * tile) f(i, std::min(tile, n - i));
  };
  std::vector<std::future<void>> others;
  const int64_t threads =
      std::min({int64_t{available_cores()}, operations / kWorth, (n + tile - 1) / tile});
  try {
    for (int64_t i = 1; i < threads; ++i) others.push_back(std::async(std::launch::async, work));
  } catch (const std::system_error&) {
  }
  work();
  for (std::future<void>& other : others) other.get();
}

// The same for `numbers` that each take about so many multiplications.
inline constexpr int64_t kStretch = 1 << 14;
template <class F>
void for_each_stretch(int64_t numbers, int64_t operations_each, const F& f) {
  for_each_tile(numbers, kStretch, operations_each * numbers, f);
}

// f(i) for each i of [0, n) whose arrays have `numbers` numbers in all, a thread each.
template <class F>
void for_each_of(int64_t n, int64_t numbers, const F& f) {
  constexpr int64_t kPerNumber = 16;  // multiplications that take as long as looking at one
  for_each_tile(n, 1, kPerNumber * numbers, [&](int64_t i, int64_t) { f(i); });
}

}  // namespace tplab
