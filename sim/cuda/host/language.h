// CUDA's words for the host compiler: a kernel is a function, run by grid.h. Included by language.h
// and by nothing else.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <tuple>

#include "sim/cuda/host/grid.h"
#include "sim/cuda/side.h"

#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wreserved-identifier"
#pragma clang diagnostic ignored "-Wreserved-macro-identifier"
#endif
// NOLINTBEGIN(readability-identifier-naming, bugprone-macro-parentheses): the names are CUDA's

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#define threadIdx (::tplab::cuda_host::current_thread->index)
#define blockIdx (::tplab::cuda_host::current_grid.block)
#define blockDim (::tplab::cuda_host::current_grid.threads)
#define gridDim (::tplab::cuda_host::current_grid.blocks)

#define TPLAB_SHARED(type, name, extent)     \
  static const char name##_key = 0;          \
  auto& name = *static_cast<type(*) extent>( \
      ::tplab::cuda_host::static_shared_memory(&name##_key, sizeof(type extent)))

// Where a word is written, as the last parameters of its function.
#define TPLAB_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

using dim3 = cuda_host::Dimensions;

inline void __syncthreads(TPLAB_HERE) { cuda_host::wait_for_block({file, line}); }
inline void __syncwarp(unsigned mask = 0xffffffffu, TPLAB_HERE) {
  cuda_host::wait_for_lanes(mask, nullptr, nullptr, {file, line});
}
inline void __threadfence() {}  // blocks run one after another

namespace words {

enum class From { lane, above, below, partner };

// What a lane gives to a shuffle, and gets.
template <class T>
struct Shuffled {
  T value;
  int argument, width;
  cuda_host::Place place;
  T result;
};

// The lane to read, or `lane` itself where that is in another part of the warp.
template <From kFrom>
int source_of(int lane, int argument, int width) {
  const int first = lane & ~(width - 1), last = first + width - 1;
  int source = lane;
  if constexpr (kFrom == From::lane) source = first | (argument & (width - 1));
  if constexpr (kFrom == From::above) source = lane + argument <= last ? lane + argument : lane;
  if constexpr (kFrom == From::below) source = lane - argument >= first ? lane - argument : lane;
  if constexpr (kFrom == From::partner) source = (lane ^ argument) <= last ? lane ^ argument : lane;
  return source;
}

template <class T, From kFrom>
void shuffle_all(const cuda_host::Lanes& lanes) {
  for (int lane = 0; lane < 32; ++lane) {
    auto* const mine = static_cast<Shuffled<T>*>(lanes.of[lane]);
    if (!mine) continue;
    const int source = source_of<kFrom>(lane, mine->argument, mine->width);
    if (source < 0 || source > 31 || !lanes.of[source])
      cuda_host::fail_in_kernel("a shuffle reads a lane that is not in the mask", mine->place);
    mine->result = static_cast<const Shuffled<T>*>(lanes.of[source])->value;
  }
}

template <class T, From kFrom>
T shuffle(unsigned mask, T value, int argument, int width, const cuda_host::Place& place) {
  Shuffled<T> mine{value, argument, width, place, value};
  cuda_host::wait_for_lanes(mask, shuffle_all<T, kFrom>, &mine, place);
  return mine.result;
}

struct Vote {
  bool yes;
  unsigned ballot;
};
inline void count_votes(const cuda_host::Lanes& lanes) {
  unsigned ballot = 0;
  for (unsigned lane = 0; lane < 32; ++lane)
    if (lanes.of[lane] && static_cast<const Vote*>(lanes.of[lane])->yes) ballot |= 1u << lane;
  for (void* const one : lanes.of)
    if (one) static_cast<Vote*>(one)->ballot = ballot;
}

}  // namespace words

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, TPLAB_HERE) {
  return words::shuffle<T, words::From::lane>(mask, value, lane, width, {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, TPLAB_HERE) {
  return words::shuffle<T, words::From::above>(mask, value, static_cast<int>(by), width,
                                               {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, TPLAB_HERE) {
  return words::shuffle<T, words::From::below>(mask, value, static_cast<int>(by), width,
                                               {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32, TPLAB_HERE) {
  return words::shuffle<T, words::From::partner>(mask, value, with, width, {file, line});
}

inline unsigned __ballot_sync(unsigned mask, int yes, TPLAB_HERE) {
  words::Vote mine{yes != 0, 0};
  cuda_host::wait_for_lanes(mask, words::count_votes, &mine, {file, line});
  return mine.ballot;
}
inline int __any_sync(unsigned mask, int yes, TPLAB_HERE) {
  return __ballot_sync(mask, yes, file, line) != 0;
}
inline int __all_sync(unsigned mask, int yes, TPLAB_HERE) {
  return __ballot_sync(mask, yes, file, line) == mask;
}

// One thread runs at a time: each is one step.
template <class T>
T atomicAdd(T* at, T value) {
  const T before = *at;
  *at = before + value;
  return before;
}
template <class T>
T atomicMax(T* at, T value) {
  const T before = *at;
  if (value > before) *at = value;
  return before;
}
template <class T>
T atomicMin(T* at, T value) {
  const T before = *at;
  if (value < before) *at = value;
  return before;
}

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(cuda_host::dynamic_shared_memory());
}

struct Launch {
  const char* kernel;
  dim3 blocks, threads;
  size_t shared_bytes = 0;
};

template <class... Parameters, class... Arguments>
void launch(void* /*stream*/, const Launch& l, void (*kernel)(Parameters...),
            Arguments... arguments) {
  if (l.blocks.count() == 0) return;
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
  };
  const Call call{kernel, std::tuple<Parameters...>(arguments...)};
  const auto work = [call,
                     shape = cuda_host::Shape{l.kernel, l.blocks, l.threads, l.shared_bytes}] {
    cuda_host::run(
        shape,
        [](const void* p) {
          const Call& c = *static_cast<const Call*>(p);
          std::apply(c.kernel, c.arguments);
        },
        &call);
  };
  if (cuda_host::written_work) return cuda_host::written_work->push_back(work);
  work();
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab

// NOLINTEND(readability-identifier-naming, bugprone-macro-parentheses)
#ifdef __clang__
#pragma clang diagnostic pop
#endif
