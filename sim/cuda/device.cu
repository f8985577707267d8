// The CUDA device's part for communicators and benchmarks.
#include <cassert>
#include <utility>

#include "sim/cuda/cuda_device.h"
#include "sim/cuda/few_rows.h"
#include "sim/cuda/numbers.h"
#include "sim/cuda/reduce.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

constexpr int kMostTerms = 64;  // ranks of a group

struct Terms {
  const void* of[kMostTerms];
  void* outs[kMostTerms];
  int count, out_count;
};

// Number by number, strictly in the order of the terms. All are read before the result is written:
// an out may be one of them.
template <class Real, int kWidth, class F>
__global__ void fold(Terms terms, int64_t count, F f) {
  for_my_numbers<kWidth>(count, [&](auto width, int64_t i) {
    constexpr int kW = decltype(width)::value;
    auto result = load_pack<kW>(static_cast<const Real*>(terms.of[0]) + i);
    for (int t = 1; t < terms.count; ++t) {
      const auto term = load_pack<kW>(static_cast<const Real*>(terms.of[t]) + i);
      for (int j = 0; j < kW; ++j) result.value[j] = f(result.value[j], term.value[j]);
    }
    for (int o = 0; o < terms.out_count; ++o)
      store_pack(static_cast<Real*>(terms.outs[o]) + i, result);
  });
}

template <class F>
void fold_all(void* stream, std::span<const void* const> terms, std::span<void* const> outs,
              DType dtype, int64_t count, F f) {
  assert(terms.size() <= kMostTerms && outs.size() <= kMostTerms);
  Terms all{{}, {}, static_cast<int>(terms.size()), static_cast<int>(outs.size())};
  bool packed = true;
  for (size_t o = 0; o < outs.size(); ++o) {
    all.outs[o] = outs[o];
    packed &= reinterpret_cast<uintptr_t>(outs[o]) % 16 == 0;
  }
  for (size_t t = 0; t < terms.size(); ++t) {
    all.of[t] = terms[t];
    packed &= reinterpret_cast<uintptr_t>(terms[t]) % 16 == 0;
  }
  dispatch(dtype, [&](auto zero) {
    using Real = decltype(zero);
    with_width<Real>(packed, [&](auto width) {
      constexpr int kW = decltype(width)::value;
      launch(stream, {"fold", blocks_for_numbers<kW>(count), kThreads}, fold<Real, kW, F>, all,
             count, f);
    });
  });
}

// The words are or-ed, and forgotten unless they are a number that nobody has.
__global__ void read_words(const uint32_t* from, int64_t count, uint32_t* unlikely) {
  const int64_t step = 4 * int64_t{blockDim.x} * gridDim.x;
  uint32_t bits = 0;
  for (int64_t i = 4 * (int64_t{blockIdx.x} * blockDim.x + threadIdx.x); i + 4 <= count;
       i += step) {
    const Bytes16 four = load_16_once(from + i);
    bits |= four.word[0] | four.word[1] | four.word[2] | four.word[3];
  }
  if (bits == 0x7fc12345u) *unlikely = bits;
}

}  // namespace

void CudaDevice::sum(std::span<const void* const> terms, void* out, DType dtype, int64_t count) {
  sum_to_all(terms, {&out, 1}, dtype, count);
}

void CudaDevice::sum_to_all(std::span<const void* const> terms, std::span<void* const> outs,
                            DType dtype, int64_t count) {
  queue_written();
  fold_all(stream(), terms, outs, dtype, count, Plus());
}

void CudaDevice::max(std::span<const void* const> terms, void* out, DType dtype, int64_t count) {
  max_to_all(terms, {&out, 1}, dtype, count);
}

void CudaDevice::max_to_all(std::span<const void* const> terms, std::span<void* const> outs,
                            DType dtype, int64_t count) {
  queue_written();
  fold_all(stream(), terms, outs, dtype, count, Largest());
}

namespace {

class CudaReplay final : public Replay {
 public:
  CudaReplay(std::shared_ptr<CudaRuntime> runtime, CapturedStep step, std::vector<Array> memory)
      : runtime_(std::move(runtime)), step_(std::move(step)), memory_(std::move(memory)) {}
  void run() override { runtime_->replay(step_); }
  int64_t launches() const override { return step_.nodes; }

 private:
  const std::shared_ptr<CudaRuntime> runtime_;
  const CapturedStep step_;
  const std::vector<Array> memory_;  // what step_ reads and writes
};

}  // namespace

std::unique_ptr<Replay> CudaDevice::capture(const std::function<void()>& step) {
  runtime_->begin_capture();
  std::vector<Array> memory;
  captured_ = &memory;
  try {
    step();
    queue_written();
  } catch (...) {
    captured_ = nullptr;
    written_.clear();
    runtime_->end_capture(/*keep=*/false);
    throw;
  }
  captured_ = nullptr;
  return std::make_unique<CudaReplay>(runtime_, runtime_->end_capture(/*keep=*/true),
                                      std::move(memory));
}

void CudaDevice::queue_written() {
  const std::vector<Operation> list = std::exchange(written_, {});
  for (size_t i = 0; i < list.size();) {
    const JoinedProduct joined = joined_product(std::span(list).subspan(i));
    if (joined.operations > 0) {
      compute_joined(stream(), joined);
      i += joined.operations;
    } else {
      std::visit([&](const auto& one) { compute(one); }, list[i++]);
    }
  }
}

void CudaDevice::read(std::span<const Array> arrays) {
  constexpr unsigned kBlocks = 2048;
  const auto [kept, unlikely] = scratch<int32_t>(1);
  for (const Array& x : arrays) {
    // From the first multiple of 16 bytes on.
    const auto begin = reinterpret_cast<uintptr_t>(x.data());
    const int64_t skipped = static_cast<int64_t>(-begin % 16);
    const int64_t words = (x.bytes() - skipped) / 4;
    if (words < 4) continue;
    launch(stream(), {"read_words", std::min(kBlocks, blocks_for(words, 4 * kThreads)), kThreads},
           read_words,
           reinterpret_cast<const uint32_t*>(static_cast<const char*>(x.data()) + skipped), words,
           reinterpret_cast<uint32_t*>(unlikely));
  }
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
