// Cross-entropy, whole and in the parts between which ranks communicate: a block a row.
#include <cmath>
#include <limits>

#include "sim/cuda/cuda_device.h"
#include "sim/cuda/numbers.h"
#include "sim/cuda/reduce.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

// The first `cols` of a row's C numbers are real; the rest is padding. Rows of any number of
// columns are packs where they begin at multiples of 16 bytes: what is left is read one by one.
template <int kWidth, class F>
__device__ __forceinline__ void for_my_columns(int64_t cols, F f) {
  const int64_t whole = cols - cols % kWidth;
  for_my_packs<kWidth>(whole, [&](int64_t c) { f(std::integral_constant<int, kWidth>(), c); });
  for (int64_t c = whole + threadIdx.x; c < cols; c += blockDim.x)
    f(std::integral_constant<int, 1>(), c);
}

template <int kWidth, class Real>
__device__ Computed<Real> largest_of_row(const Real* row, int64_t cols) {
  auto largest = -std::numeric_limits<Computed<Real>>::infinity();
  for_my_columns<kWidth>(cols, [&](auto width, int64_t c) {
    const auto pack = load_pack<decltype(width)::value>(row + c);
    for (const auto value : pack.value) largest = Largest()(largest, value);
  });
  return block_max(largest);
}

template <class Real, int kWidth>
__global__ void row_max(const Real* x, int64_t C, int64_t cols, Computed<Real>* out) {
  const auto largest = largest_of_row<kWidth>(x + blockIdx.x * C, cols);
  if (threadIdx.x == 0) out[blockIdx.x] = largest;
}

template <class Real>
__global__ void pick(const Real* x, int64_t rows, int64_t C, int64_t cols, const int32_t* ids,
                     int64_t first, Computed<Real>* out) {
  const int64_t r = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (r >= rows) return;
  const int64_t col = ids[r] - first;
  out[r] = col >= 0 && col < cols ? static_cast<Computed<Real>>(x[r * C + col]) : 0;
}

// The terms of a pack are summed up as they are computed, packs in double, so that long rows (a
// vocabulary) lose nothing.
template <class Real, int kWidth>
__global__ void exp_rows(Real* x, int64_t C, int64_t cols, const Computed<Real>* shift,
                         Computed<Real>* sums) {
  x += blockIdx.x * C;
  const auto less = shift[blockIdx.x];
  double sum = 0;
  for_my_columns<kWidth>(cols, [&](auto width, int64_t c) {
    auto pack = load_pack<decltype(width)::value>(x + c);
    Computed<Real> of_pack = 0;
    for (auto& value : pack.value) {
      value = std::exp(value - less);
      of_pack += value;
    }
    store_pack(x + c, pack);
    sum += static_cast<double>(of_pack);
  });
  for (int64_t c = cols + threadIdx.x; c < C; c += blockDim.x) x[c] = Real(0.0f);
  sum = block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = static_cast<Computed<Real>>(sum);
}

template <class Real, int kWidth>
__global__ void softmax_minus_onehot(Real* x, int64_t C, int64_t cols, const Computed<Real>* sums,
                                     const int32_t* ids, int64_t first, double scale) {
  using Sum = Computed<Real>;
  x += blockIdx.x * C;
  const int32_t id = ids[blockIdx.x];
  if (id < 0) cols = 0;
  const auto factor = static_cast<Sum>(scale / static_cast<double>(sums[blockIdx.x]));
  for_my_columns<kWidth>(cols, [&](auto width, int64_t c) {
    constexpr int kW = decltype(width)::value;
    auto pack = load_pack<kW>(x + c);
    for (int j = 0; j < kW; ++j) {
      pack.value[j] *= factor;
      if (c + j == id - first) pack.value[j] -= static_cast<Sum>(scale);
    }
    store_pack(x + c, pack);
  });
  for (int64_t c = cols + threadIdx.x; c < C; c += blockDim.x) x[c] = Real(0.0f);
}

// One block: threads take rows in turn, and their sums are added up in a tree.
template <class Sum>
__global__ void sum_of_losses(const Sum* largest, const Sum* wanted, const Sum* sums,
                              const int32_t* ids, int64_t rows, double weight, double* out) {
  double loss = 0;
  for (int64_t r = threadIdx.x; r < rows; r += blockDim.x) {
    if (ids[r] < 0) continue;
    loss += std::log(static_cast<double>(sums[r])) +
            (static_cast<double>(largest[r]) - static_cast<double>(wanted[r]));
  }
  loss = block_sum(loss);
  if (threadIdx.x == 0) *out += loss * weight;
}

// losses[r] = log(sum exp(row)) - row[ids[r]], 0 where ids[r] < 0.
template <class Real, int kWidth>
__global__ void cross_entropy_of_rows(const Real* logits, int64_t V, const int32_t* ids,
                                      double* losses) {
  logits += blockIdx.x * V;
  const int32_t id = ids[blockIdx.x];
  if (id < 0) {
    if (threadIdx.x == 0) losses[blockIdx.x] = 0;
    return;
  }
  const auto largest = largest_of_row<kWidth>(logits, V);
  double sum = 0;
  for_my_columns<kWidth>(V, [&](auto width, int64_t c) {
    const auto pack = load_pack<decltype(width)::value>(logits + c);
    Computed<Real> of_pack = 0;
    for (const auto value : pack.value) of_pack += std::exp(value - largest);
    sum += static_cast<double>(of_pack);
  });
  sum = block_sum(sum);
  if (threadIdx.x > 0) return;
  const auto wanted = static_cast<double>(static_cast<Computed<Real>>(logits[id]));
  losses[blockIdx.x] = std::log(sum) + (static_cast<double>(largest) - wanted);
}

__global__ void mean_of_losses(const double* losses, const int32_t* ids, int64_t rows,
                               double* out) {
  double sums[2] = {};  // the losses, and how many
  for (int64_t r = threadIdx.x; r < rows; r += blockDim.x) {
    sums[0] += losses[r];
    sums[1] += ids[r] >= 0 ? 1 : 0;
  }
  over_block(sums, Plus());
  if (threadIdx.x == 0) *out = sums[0] / sums[1];
}

constexpr unsigned kLossThreads = 512;

// launches(kernel's width, threads) for rows of x: [.., C].
template <class Real, class F>
void for_loss_rows(const Array& x, F launches) {
  const int64_t C = x.shape()[-1];
  with_width<Real>(are_packs<Real>(C, {x.data()}), [&](auto width) {
    launches(width, threads_for_row<decltype(width)::value>(C, kLossThreads));
  });
}

}  // namespace

void CudaDevice::compute(const op::RowMax& o) {
  const auto rows = static_cast<unsigned>(o.x.shape().rows());
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    for_loss_rows<Real>(o.x, [&](auto width, unsigned threads) {
      launch(stream(), {"row_max", rows, threads}, row_max<Real, decltype(width)::value>,
             o.x.as<Real>(), o.x.shape()[-1], o.cols, o.out.as<Computed<Real>>());
    });
  });
}

void CudaDevice::compute(const op::Pick& o) {
  const int64_t rows = o.x.shape().rows();
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    launch(stream(), {"pick", blocks_for(rows, kThreads), kThreads}, pick<Real>, o.x.as<Real>(),
           rows, o.x.shape()[-1], o.cols, o.ids.as<int32_t>(), o.first, o.out.as<Computed<Real>>());
  });
}

void CudaDevice::compute(const op::ExpRows& o) {
  const auto rows = static_cast<unsigned>(o.x.shape().rows());
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    for_loss_rows<Real>(o.x, [&](auto width, unsigned threads) {
      launch(stream(), {"exp_rows", rows, threads}, exp_rows<Real, decltype(width)::value>,
             o.x.as<Real>(), o.x.shape()[-1], o.cols, o.shift.as<Computed<Real>>(),
             o.sums.as<Computed<Real>>());
    });
  });
}

void CudaDevice::compute(const op::SoftmaxMinusOnehot& o) {
  const auto rows = static_cast<unsigned>(o.x.shape().rows());
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    for_loss_rows<Real>(o.x, [&](auto width, unsigned threads) {
      launch(stream(), {"softmax_minus_onehot", rows, threads},
             softmax_minus_onehot<Real, decltype(width)::value>, o.x.as<Real>(), o.x.shape()[-1],
             o.cols, o.sums.as<Computed<Real>>(), o.ids.as<int32_t>(), o.first, o.scale);
    });
  });
}

void CudaDevice::compute(const op::SumOfLosses& o) {
  dispatch_computed(o.sums.dtype(), [&](auto zero) {
    using Sum = decltype(zero);
    launch(stream(), {"sum_of_losses", 1, kLossThreads}, sum_of_losses<Sum>, o.largest.as<Sum>(),
           o.wanted.as<Sum>(), o.sums.as<Sum>(), o.ids.as<int32_t>(), o.ids.count(), o.weight,
           o.out.as<double>());
  });
}

void CudaDevice::compute(const op::CrossEntropy& o) {
  const int64_t rows = o.ids.count();
  const auto [kept, losses] = scratch<double>(rows);
  double* const of_row = losses;
  dispatch(o.logits.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    for_loss_rows<Real>(o.logits, [&](auto width, unsigned threads) {
      launch(stream(), {"cross_entropy_of_rows", static_cast<unsigned>(rows), threads},
             cross_entropy_of_rows<Real, decltype(width)::value>, o.logits.as<Real>(),
             o.logits.shape()[-1], o.ids.as<int32_t>(), of_row);
    });
  });
  launch(stream(), {"mean_of_losses", 1, kLossThreads}, mean_of_losses, of_row, o.ids.as<int32_t>(),
         rows, o.out.as<double>());
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
