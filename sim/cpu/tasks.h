// How the CPU's kernels share out their work among a crew's lanes.
//
// Every result has the same bits whatever the number of lanes: work is cut into tasks by the
// operation's sizes alone, and a task is done by one lane in a fixed order.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "sim/threads/crew.h"

namespace tplab::cpu {

// Calls task(i, lane) for each i in [0, count). Each lane has a part of the tasks, contiguous as in
// parallel_for, so that the rows a lane has in its cache stay with it from operation to operation;
// a lane that is done takes over what others have not begun, so that one which is slowed down, by a
// longer task or by other programs, does fewer.
template <class F>
void for_each_task(Crew& crew, int64_t count, F&& task) {
  struct alignas(64) Part {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };
  const int64_t lanes = std::min<int64_t>(count, crew.lanes());
  if (lanes == 0) return;
  std::vector<Part> parts(static_cast<size_t>(lanes));
  for (int64_t l = 0; l < lanes; ++l) {
    parts[static_cast<size_t>(l)].next = l * count / lanes;
    parts[static_cast<size_t>(l)].end = (l + 1) * count / lanes;
  }
  crew.parallel_for(lanes, 1, [&](int64_t lane, int64_t) {
    for (int64_t l = 0; l < lanes; ++l) {
      Part& part = parts[static_cast<size_t>((lane + l) % lanes)];
      for (int64_t i = part.next++; i < part.end; i = part.next++) task(i, lane);
    }
  });
}

// Of one number.
template <class Real>
constexpr int64_t kBytes = static_cast<int64_t>(sizeof(Real));

// How many pieces of `bytes` each a lane should get at least, for a fork and join to be worth it.
constexpr int64_t grain_of(int64_t bytes) {
  constexpr int64_t kBytesPerLane = 32 << 10;
  return bytes > 0 ? (kBytesPerLane + bytes - 1) / bytes : kBytesPerLane;
}

// Splits the columns of a [rows, C] among the lanes, a cache line at least to each, and calls
// body(first column, how many). A sum down a column is done by one lane, in the order of the rows.
template <class Real, class F>
void for_columns(Crew& crew, int64_t rows, int64_t C, F body) {
  constexpr int64_t kLine = 64 / kBytes<Real>;
  const int64_t lines = (C + kLine - 1) / kLine;
  crew.parallel_for(lines, grain_of(rows * kLine * kBytes<Real>), [&](int64_t begin, int64_t end) {
    body(begin * kLine, std::min(end * kLine, C) - begin * kLine);
  });
}

}  // namespace tplab::cpu
