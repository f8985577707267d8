// What acts on one number at a time: sums, activations, gates, soft caps, dropout.
#include <cmath>

#include "sim/cuda/activations.h"
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

// What one number becomes, and its slope: of an activation; of a soft cap, whose slope is of y.
template <class Sum>
struct ByKind {
  ActivationKind kind;
  __device__ Sum value(Sum x) const { return activation_of(kind, x); }
  __device__ Sum slope(Sum x) const { return slope_of(kind, x); }
};
template <class Sum>
struct Capped {
  Sum cap, one_over;
  explicit Capped(double c) : cap(static_cast<Sum>(c)), one_over(static_cast<Sum>(1 / c)) {}
  __device__ Sum value(Sum x) const { return cap * std::tanh(x * one_over); }
  __device__ Sum slope(Sum y) const { return Sum(1) - (y * one_over) * (y * one_over); }
};

// y = f(x). y may be x.
template <class Real, int kWidth, class F>
__global__ void map_numbers(const Real* x, Real* y, int64_t count, F f) {
  for_my_numbers<kWidth>(count, [&](auto width, int64_t i) {
    auto pack = load_pack<decltype(width)::value>(x + i);
    for (auto& value : pack.value) value = f.value(value);
    store_pack(y + i, pack);
  });
}

// dx = dy f'(x). dx may be dy.
template <class Real, int kWidth, class F>
__global__ void times_slope(const Real* x, const Real* dy, Real* dx, int64_t count, F f) {
  for_my_numbers<kWidth>(count, [&](auto width, int64_t i) {
    constexpr int kW = decltype(width)::value;
    const auto at = load_pack<kW>(x + i);
    auto gradient = load_pack<kW>(dy + i);
    for (int j = 0; j < kW; ++j) gradient.value[j] *= f.slope(at.value[j]);
    store_pack(dx + i, gradient);
  });
}

// A gate, and what it lets through.
template <class Sum>
struct GateNumbers {
  ActivationKind kind;
  Sum limit, alpha;  // limit 0: none

  explicit GateNumbers(const Gate& how)
      : kind(how.activation),
        limit(static_cast<Sum>(how.limit)),
        alpha(static_cast<Sum>(how.alpha)) {}
  __device__ Sum value(Sum g) const {
    if (limit == Sum(0)) return activation_of(kind, g);
    return gate(g > limit ? limit : g, alpha);
  }
  __device__ Sum slope(Sum g) const {
    if (limit == Sum(0)) return slope_of(kind, g);
    return g > limit ? Sum(0) : gate_slope(g, alpha);
  }
  __device__ Sum through(Sum u) const { return limit == Sum(0) ? u : clamped(u, limit) + Sum(1); }
  __device__ Sum through_slope(Sum u) const {
    return limit != Sum(0) && (u > limit || u < -limit) ? Sum(0) : Sum(1);
  }
};

// A row a block.   x: [rows, 2 F]   y: [rows, F]
template <class Real, int kWidth>
__global__ void gated(const Real* x, Real* y, int64_t F, GateNumbers<Computed<Real>> how) {
  x += blockIdx.x * 2 * F;
  y += blockIdx.x * F;
  for_my_packs<kWidth>(F, [&](int64_t i) {
    auto gates = load_pack<kWidth>(x + i);
    const auto ups = load_pack<kWidth>(x + F + i);
    for (int j = 0; j < kWidth; ++j)
      gates.value[j] = how.value(gates.value[j]) * how.through(ups.value[j]);
    store_pack(y + i, gates);
  });
}
template <class Real, int kWidth>
__global__ void gated_backward(const Real* x, const Real* dy, Real* dx, int64_t F,
                               GateNumbers<Computed<Real>> how) {
  x += blockIdx.x * 2 * F;
  dx += blockIdx.x * 2 * F;
  dy += blockIdx.x * F;
  for_my_packs<kWidth>(F, [&](int64_t i) {
    auto gates = load_pack<kWidth>(x + i), ups = load_pack<kWidth>(x + F + i);
    const auto d = load_pack<kWidth>(dy + i);
    for (int j = 0; j < kWidth; ++j) {
      const auto g = gates.value[j], u = ups.value[j];
      gates.value[j] = d.value[j] * how.through(u) * how.slope(g);
      ups.value[j] = d.value[j] * how.value(g) * how.through_slope(u);
    }
    store_pack(dx + i, gates);
    store_pack(dx + F + i, ups);
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

// make(a number of the computed type) makes what map_numbers and times_slope call.
template <class Make>
void map_array(void* stream, const char* kernel, const Array& x, const Array& y, Make make) {
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const auto f = make(Computed<Real>{});
    with_width<Real>(are_packs<Real>(0, {x.data(), y.data()}), [&](auto width) {
      constexpr int kW = decltype(width)::value;
      launch(stream, {kernel, blocks_for_numbers<kW>(x.count()), kThreads},
             map_numbers<Real, kW, std::decay_t<decltype(f)>>, x.as<Real>(), y.as<Real>(),
             x.count(), f);
    });
  });
}
template <class Make>
void scale_array(void* stream, const char* kernel, const Array& x, const Array& dy, const Array& dx,
                 Make make) {
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const auto f = make(Computed<Real>{});
    with_width<Real>(are_packs<Real>(0, {x.data(), dy.data(), dx.data()}), [&](auto width) {
      constexpr int kW = decltype(width)::value;
      launch(stream, {kernel, blocks_for_numbers<kW>(x.count()), kThreads},
             times_slope<Real, kW, std::decay_t<decltype(f)>>, x.as<Real>(), dy.as<Real>(),
             dx.as<Real>(), x.count(), f);
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

void CudaDevice::compute(const op::Activation& o) {
  map_array(stream(), "activation", o.x, o.y,
            [&](auto zero) { return ByKind<decltype(zero)>{o.kind}; });
}

void CudaDevice::compute(const op::ActivationBackward& o) {
  scale_array(stream(), "activation_backward", o.x, o.dy, o.dx,
              [&](auto zero) { return ByKind<decltype(zero)>{o.kind}; });
}

void CudaDevice::compute(const op::SoftCap& o) {
  map_array(stream(), "soft_cap", o.x, o.y,
            [&](auto zero) { return Capped<decltype(zero)>(o.cap); });
}

void CudaDevice::compute(const op::SoftCapBackward& o) {
  scale_array(stream(), "soft_cap_backward", o.y, o.dy, o.dx,
              [&](auto zero) { return Capped<decltype(zero)>(o.cap); });
}

void CudaDevice::compute(const op::Gated& o) {
  const int64_t F = o.y.shape()[-1];
  const auto rows = static_cast<unsigned>(o.y.shape().rows());
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    with_width<Real>(are_packs<Real>(F, {o.x.data(), o.y.data()}), [&](auto width) {
      constexpr int kW = decltype(width)::value;
      launch(stream(), {"gated", rows, threads_for_row<kW>(F)}, gated<Real, kW>, o.x.as<Real>(),
             o.y.as<Real>(), F, GateNumbers<Computed<Real>>(o.gate));
    });
  });
}

void CudaDevice::compute(const op::GatedBackward& o) {
  const int64_t F = o.dy.shape()[-1];
  const auto rows = static_cast<unsigned>(o.dy.shape().rows());
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    with_width<Real>(are_packs<Real>(F, {o.x.data(), o.dy.data(), o.dx.data()}), [&](auto width) {
      constexpr int kW = decltype(width)::value;
      launch(stream(), {"gated_backward", rows, threads_for_row<kW>(F)}, gated_backward<Real, kW>,
             o.x.as<Real>(), o.dy.as<Real>(), o.dx.as<Real>(), F,
             GateNumbers<Computed<Real>>(o.gate));
    });
  });
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
