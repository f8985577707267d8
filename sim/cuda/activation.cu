// What acts on one number at a time: sums, gelu, dropout.
#include <cmath>

#include "sim/cuda/cuda_device.h"
#include "sim/cuda/dropout.h"
#include "sim/cuda/numbers.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

// y = a + b, b being of `b_count` numbers, which are repeated.
template <class Real, int kWidth>
__global__ void add(const Real* a, const Real* b, int64_t b_count, Real* y, int64_t count) {
  for_my_numbers<kWidth>(count, [&](auto width, int64_t i) {
    constexpr int kW = decltype(width)::value;
    auto sum = load_pack<kW>(a + i);
    const auto other = load_pack<kW>(b + (b_count == count ? i : i % b_count));
    for (int j = 0; j < kW; ++j) sum.value[j] += other.value[j];
    store_pack(y + i, sum);
  });
}

// x/2 (1 + erf(x/√2)).
struct GeluErf {
  template <class Sum>
  __device__ Sum operator()(Sum x) const {
    return x * (Sum(0.5) * (Sum(1) + std::erf(x * Sum(0.70710678118654752440))));
  }
};
// x/2 (1 + tanh(u)) is x / (1 + exp(-2u)): no cancellation.
struct GeluTanh {
  template <class Sum>
  __device__ Sum operator()(Sum x) const {
    const Sum c = Sum(-2 * 0.79788456080286535588);  // -2 √(2/π)
    return x / (Sum(1) + std::exp(x * (x * x * (c * Sum(0.044715)) + c)));
  }
};

// Past 32 a slope is 0 or 1, and powers of x may be infinite. A NaN stays.
template <class Sum>
__device__ Sum where_it_bends(Sum x) {
  return x > Sum(32) ? Sum(32) : x < Sum(-32) ? Sum(-32) : x;
}
// Φ(x) + x φ(x).
struct GeluErfSlope {
  template <class Sum>
  __device__ Sum operator()(Sum any) const {
    const Sum x = where_it_bends(any);
    const Sum density = std::exp(x * x * Sum(-0.5)) * Sum(0.39894228040143267794);
    return x * density + Sum(0.5) * (Sum(1) + std::erf(x * Sum(0.70710678118654752440)));
  }
};
// With s = 1 / (1 + exp(-2u)): s + 2 x s (1 - s) u'.
struct GeluTanhSlope {
  template <class Sum>
  __device__ Sum operator()(Sum any) const {
    const Sum x = where_it_bends(any), square = x * x;
    const Sum c = Sum(2 * 0.79788456080286535588);  // 2 √(2/π)
    const Sum s = Sum(1) / (Sum(1) + std::exp(x * (square * (-c * Sum(0.044715)) - c)));
    return x * (square * (c * Sum(3 * 0.044715)) + c) * s * (Sum(1) - s) + s;
  }
};

// y = f(x). y may be x.
template <class Real, int kWidth, class F>
__global__ void map_numbers(const Real* x, Real* y, int64_t count, F f) {
  for_my_numbers<kWidth>(count, [&](auto width, int64_t i) {
    auto pack = load_pack<decltype(width)::value>(x + i);
    for (auto& value : pack.value) value = f(value);
    store_pack(y + i, pack);
  });
}

// dx = dy slope(x). dx may be dy.
template <class Real, int kWidth, class F>
__global__ void times_slope(const Real* x, const Real* dy, Real* dx, int64_t count, F slope) {
  for_my_numbers<kWidth>(count, [&](auto width, int64_t i) {
    constexpr int kW = decltype(width)::value;
    const auto at = load_pack<kW>(x + i);
    auto gradient = load_pack<kW>(dy + i);
    for (int j = 0; j < kW; ++j) gradient.value[j] *= slope(at.value[j]);
    store_pack(dx + i, gradient);
  });
}

// Rows of C numbers of this rank's [B, T, C]; a row is its block's.
struct DroppedRows {
  int64_t T, C, first_sequence, first_position, whole_length;
};
template <class Real, int kWidth>
__global__ void dropout(const Real* x, Real* y, DroppedRows a,
                        DropoutNumbers<Computed<Real>> numbers) {
  const int64_t r = blockIdx.x, sequence = a.first_sequence + r / a.T;
  const int64_t first = (sequence * a.whole_length + a.first_position + r % a.T) * a.C;
  for_my_packs<kWidth>(a.C, [&](int64_t c) {
    Computed<Real> factors[kWidth];
    numbers.factors(first + c, factors);
    auto pack = load_pack<kWidth>(x + r * a.C + c);
    for (int j = 0; j < kWidth; ++j) pack.value[j] *= factors[j];
    store_pack(y + r * a.C + c, pack);
  });
}

template <class F>
void map_array(void* stream, const char* kernel, const Array& x, const Array& y, F f) {
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    with_width<Real>(are_packs<Real>(0, {x.data(), y.data()}), [&](auto width) {
      constexpr int kW = decltype(width)::value;
      launch(stream, {kernel, blocks_for_numbers<kW>(x.count()), kThreads},
             map_numbers<Real, kW, F>, x.as<Real>(), y.as<Real>(), x.count(), f);
    });
  });
}

template <class F>
void times_slope_of(void* stream, const op::GeluBackward& o, F slope) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    with_width<Real>(are_packs<Real>(0, {o.x.data(), o.dy.data(), o.dx.data()}), [&](auto width) {
      constexpr int kW = decltype(width)::value;
      launch(stream, {"gelu_backward", blocks_for_numbers<kW>(o.x.count()), kThreads},
             times_slope<Real, kW, F>, o.x.as<Real>(), o.dy.as<Real>(), o.dx.as<Real>(),
             o.x.count(), slope);
    });
  });
}

}  // namespace

void CudaDevice::compute(const op::Add& o) {
  dispatch(o.a.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const int64_t count = o.a.count(), b_count = o.b.count();
    const bool packed =
        are_packs<Real>(b_count == count ? 0 : b_count, {o.a.data(), o.b.data(), o.y.data()});
    with_width<Real>(packed, [&](auto width) {
      constexpr int kW = decltype(width)::value;
      launch(stream(), {"add", blocks_for_numbers<kW>(count), kThreads}, add<Real, kW>,
             o.a.as<Real>(), o.b.as<Real>(), b_count, o.y.as<Real>(), count);
    });
  });
}

void CudaDevice::compute(const op::Gelu& o) {
  if (o.kind == Gelu::erf) {
    map_array(stream(), "gelu", o.x, o.y, GeluErf());
  } else {
    map_array(stream(), "gelu", o.x, o.y, GeluTanh());
  }
}

void CudaDevice::compute(const op::GeluBackward& o) {
  if (o.kind == Gelu::erf) {
    times_slope_of(stream(), o, GeluErfSlope());
  } else {
    times_slope_of(stream(), o, GeluTanhSlope());
  }
}

void CudaDevice::compute(const op::Dropout& o) {
  const int64_t C = o.x.shape()[2];
  const DroppedRows rows{.T = o.x.shape()[1],
                         .C = C,
                         .first_sequence = o.mask.first_sequence,
                         .first_position = o.mask.first_position,
                         .whole_length = o.mask.whole_length};
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    with_width<Real>(are_packs<Real>(C, {o.x.data(), o.y.data()}), [&](auto width) {
      constexpr int kW = decltype(width)::value;
      launch(stream(),
             {"dropout", static_cast<unsigned>(o.x.shape().rows()), threads_for_row<kW>(C)},
             dropout<Real, kW>, o.x.as<Real>(), o.y.as<Real>(), rows,
             DropoutNumbers<Computed<Real>>(o.mask));
    });
  });
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
