// The CPU device's arithmetic, on plain pointers: formulas and shapes are those of ops/.
//
// Every result has the same bits whatever the number of lanes: work is cut into tasks by the
// operation's sizes alone, and a task is done by one lane in a fixed order.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/device.h"
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

// How many pieces of `bytes` each a lane should get at least, for a fork and join to be worth it.
constexpr int64_t grain_of(int64_t bytes) {
  constexpr int64_t kBytesPerLane = 32 << 10;
  return bytes > 0 ? (kBytesPerLane + bytes - 1) / bytes : kBytesPerLane;
}

template <class Real>
struct Linear {
  const Real* x;     // [rows, k]
  const Real* w;     // [n, k]
  const Real* bias;  // [n] or null
  Real* y;           // [rows, n]
  int64_t rows, k, n;
};
template <class Real>
void linear(Crew& crew, const Linear<Real>& a);

template <class Real>
struct Attention {
  const Real* qkv;      // [B, T, 3 H D]
  Real *keys, *values;  // [B, H, S, D], the first `past` positions filled
  Real* y;              // [B, T, H D]
  int64_t B, T, H, D, S, past;
};
// Each lane needs room for this many scores; `scratch` is that for all lanes.
template <class Real>
int64_t attention_scratch_count(const Attention<Real>& a);
template <class Real>
void cached_attention(Crew& crew, const Attention<Real>& a, Real* scratch);

template <class Real>
void add(Crew& crew, const Real* a, const Real* b, bool broadcast_row, Real* y, int64_t rows,
         int64_t C);
template <class Real>
void gelu(Crew& crew, Gelu kind, const Real* x, Real* y, int64_t count);

template <class Real>
struct LayerNorm {
  const Real *x, *weight, *bias;  // bias may be null
  Real* y;
  int64_t rows, C;
  Real eps;
};
template <class Real>
void layer_norm(Crew& crew, const LayerNorm<Real>& a);

template <class Real>
double cross_entropy(Crew& crew, const Real* logits, std::span<const int32_t> targets, int64_t V);

template <class Real>
void sum(Crew& crew, std::span<const void* const> terms, Real* out, int64_t count);
template <class Real>
void max(Crew& crew, std::span<const void* const> terms, Real* out, int64_t count);

}  // namespace tplab::cpu
