// AdamW and the norm of gradients: one pass over memory each.
#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/cuda/cuda_device.h"
#include "sim/cuda/numbers.h"
#include "sim/cuda/reduce.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

// sums[block] = the squares of every gridDim-th pack of packs, added up in double.
template <class Real, int kWidth>
__global__ void squares_of_block(const Real* x, int64_t count, double* sums) {
  const int64_t step = int64_t{kWidth} * blockDim.x * gridDim.x;
  double sum = 0;
  int64_t i = kWidth * (int64_t{blockIdx.x} * blockDim.x + threadIdx.x);
  for (; i + kWidth <= count; i += step) {
    const auto pack = load_pack<kWidth>(x + i);
    for (const auto value : pack.value)
      sum += static_cast<double>(value) * static_cast<double>(value);
  }
  for (; i < count; ++i) {
    const auto value = static_cast<double>(static_cast<Computed<Real>>(x[i]));
    sum += value * value;
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// One block.
__global__ void add_up(const double* sums, int64_t count, double* out) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += sums[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *out = sum;
}

// One thread.
__global__ void clip_scale(const double* squares, const double* loss, double limit, double* norm,
                           double* scale) {
  const double root = std::sqrt(*squares);
  const bool finite = std::isfinite(root) && std::isfinite(*loss);
  *norm = root;
  *scale = !finite     ? std::numeric_limits<double>::quiet_NaN()
           : limit > 0 ? std::min(1.0, limit / (root + 1e-6))
                       : 1.0;
}

// What a step multiplies with, once for all numbers.
template <class Sum>
struct AdamWUpdate {
  Sum keep, beta1, rest1, beta2, rest2, size, root, eps;
};
template <class Sum>
AdamWUpdate<Sum> update_of(const AdamW& a) {
  const auto t = static_cast<double>(a.step);
  return {.keep = static_cast<Sum>(1 - a.learning_rate * a.weight_decay),
          .beta1 = static_cast<Sum>(a.beta1),
          .rest1 = static_cast<Sum>(1 - a.beta1),
          .beta2 = static_cast<Sum>(a.beta2),
          .rest2 = static_cast<Sum>(1 - a.beta2),
          .size = static_cast<Sum>(-a.learning_rate / (1 - std::pow(a.beta1, t))),
          .root = static_cast<Sum>(1 / std::sqrt(1 - std::pow(a.beta2, t))),
          .eps = static_cast<Sum>(a.eps)};
}

// copy may be null.
template <class Sum, class Copy, int kWidth>
__global__ void adamw(AdamWUpdate<Sum> u, const double* grad_scale, const Sum* gradient, Sum* m,
                      Sum* v, Sum* parameter, Copy* copy, int64_t count) {
  const auto scale = static_cast<Sum>(*grad_scale);
  const bool makes_a_step = !std::isnan(scale);
  for_my_numbers<kWidth>(count, [&](auto width, int64_t i) {
    constexpr int kW = decltype(width)::value;
    auto number = load_pack<kW>(parameter + i);
    if (makes_a_step) {
      const auto gradients = load_pack<kW>(gradient + i);
      auto first = load_pack<kW>(m + i), second = load_pack<kW>(v + i);
      for (int j = 0; j < kW; ++j) {
        const Sum g = gradients.value[j] * scale;
        Sum &new_m = first.value[j], &new_v = second.value[j];
        new_m = new_m * u.beta1 + g * u.rest1;
        new_v = new_v * u.beta2 + g * g * u.rest2;
        number.value[j] =
            u.size * (new_m / (std::sqrt(new_v) * u.root + u.eps)) + number.value[j] * u.keep;
      }
      store_pack(m + i, first);
      store_pack(v + i, second);
      store_pack(parameter + i, number);
    }
    if (copy) store_as(copy + i, number);
  });
}

}  // namespace

void CudaDevice::compute(const op::SumOfSquares& o) {
  constexpr unsigned kMostBlocks = 1024;
  const int64_t count = o.x.count();
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    with_width<Real>(are_packs<Real>(0, {o.x.data()}), [&](auto width) {
      constexpr int kW = decltype(width)::value;
      const unsigned blocks = std::clamp(blocks_for_numbers<kW>(count), 1u, kMostBlocks);
      const auto [kept, sums] = scratch<double>(blocks);
      launch(stream(), {"squares_of_block", blocks, kThreads}, squares_of_block<Real, kW>,
             o.x.as<Real>(), count, sums);
      launch(stream(), {"add_up", 1, kThreads}, add_up, sums, blocks, o.out.as<double>());
    });
  });
}

void CudaDevice::compute(const op::ClipScale& o) {
  launch(stream(), {"clip_scale", 1, 1}, clip_scale, o.squares.as<double>(), o.loss.as<double>(),
         o.limit, o.norm.as<double>(), o.scale.as<double>());
}

void CudaDevice::compute(const op::AdamW& o) {
  dispatch_computed(o.gradient.dtype(), [&](auto zero) {
    using Sum = decltype(zero);
    const bool packed = are_packs<Sum>(
        0, {o.gradient.data(), o.m.data(), o.v.data(), o.parameter.data(), o.copy.data()});
    const auto step = [&](auto width, auto copy) {
      constexpr int kW = decltype(width)::value;
      using Copy = decltype(copy);
      launch(stream(), {"adamw", blocks_for_numbers<kW>(o.gradient.count()), kThreads},
             adamw<Sum, Copy, kW>, update_of<Sum>(o.step), o.scale.as<double>(),
             o.gradient.as<Sum>(), o.m.as<Sum>(), o.v.as<Sum>(), o.parameter.as<Sum>(),
             static_cast<Copy*>(o.copy.data()), o.gradient.count());
    };
    with_width<Sum>(packed, [&](auto width) {
      if (o.copy.present() && o.copy.dtype() == DType::bf16) {
        step(width, bf16{});
      } else {
        step(width, Sum{});
      }
    });
  });
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
