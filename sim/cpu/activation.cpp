// What acts on one number at a time, on the CPU: sums, gelu, dropout.
#include <algorithm>
#include <cmath>

#include "sim/cpu/cpu_device.h"
#include "sim/cpu/dropout.h"
#include "sim/cpu/tasks.h"
#include "sim/cpu/views.h"

namespace tplab {

namespace cpu {
namespace {

template <class Real>
void add(Crew& crew, const Real* a, const Real* b, bool broadcast_row, Real* y, int64_t rows,
         int64_t C) {
  crew.parallel_for(rows, grain_of(C * kBytes<Real>), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const Real* const other = broadcast_row ? b : b + r * C;
      Row<Real>(y + r * C, C) = ConstRow<Real>(a + r * C, C) + ConstRow<Real>(other, C);
    }
  });
}

template <class Real>
void gelu(Crew& crew, Gelu kind, const Real* x, Real* y, int64_t count) {
  constexpr int64_t kGrain = 4096;
  crew.parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    if (kind == Gelu::erf) {
      map_packets(x + begin, y + begin, end - begin,
                  [](const auto& v) { return gelu_erf(Real(), v); });
    } else {
      map_packets(x + begin, y + begin, end - begin,
                  [](const auto& v) { return gelu_tanh(Real(), v); });
    }
  });
}

// Past 32 a slope is 0 or 1, and powers of x may be infinite. A NaN stays.
template <class Real>
Packet<Real> where_it_bends(const Packet<Real>& x) {
  return Eigen::internal::pmax(Eigen::internal::pmin(x, all(Real(32))), all(Real(-32)));
}

// Φ(x) + x φ(x), Φ being (1 + erf(x/√2)) / 2.
template <class Real>
Packet<Real> gelu_erf_slope(Real, const Packet<Real>& any) {
  using namespace Eigen::internal;
  const Packet<Real> x = where_it_bends<Real>(any);
  const Packet<Real> density =
      pmul(exp(pmul(pmul(x, x), all(Real(-0.5)))), all(Real(0.39894228040143267794)));
  return fma(x, density, normal_cdf(Real(), x));
}

// With s = 1 / (1 + exp(-2u)): s + 2 x s (1 - s) u'.
template <class Real>
Packet<Real> gelu_tanh_slope(Real, const Packet<Real>& any) {
  using namespace Eigen::internal;
  const Packet<Real> x = where_it_bends<Real>(any);
  const Real c = Real(2 * 0.79788456080286535588);  // 2 √(2/π)
  const Packet<Real> square = pmul(x, x);
  const Packet<Real> inner = fma(square, all(Real(-c * Real(0.044715))), all(-c));  // -2u / x
  const Packet<Real> s = pdiv(all(Real(1)), padd(exp(pmul(x, inner)), all(Real(1))));
  const Packet<Real> slope = fma(square, all(Real(c * Real(3 * 0.044715))), all(c));  // 2u'
  return fma(pmul(pmul(x, slope), s), psub(all(Real(1)), s), s);
}

template <class Real>
void gelu_backward(Crew& crew, Gelu kind, const Real* x, const Real* dy, Real* dx, int64_t count) {
  constexpr int64_t kGrain = 4096;
  crew.parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    constexpr int64_t kRun = 64 * kWidth<Real>;
    Real slopes[kRun];
    for (int64_t i = begin; i < end; i += kRun) {
      const int64_t n = std::min(kRun, end - i);
      if (kind == Gelu::erf) {
        map_packets(x + i, slopes, n, [](const auto& v) { return gelu_erf_slope(Real(), v); });
      } else {
        map_packets(x + i, slopes, n, [](const auto& v) { return gelu_tanh_slope(Real(), v); });
      }
      Row<Real>(dx + i, n) = ConstRow<Real>(dy + i, n) * ConstRow<Real>(slopes, n);
    }
  });
}

template <class Real>
void dropout(Crew& crew, const Real* x, const DropoutMask& mask, Real* y, int64_t B, int64_t T,
             int64_t C) {
  constexpr int64_t kGrain = 4096, kRun = 256;
  crew.parallel_for(B * T, std::max<int64_t>(1, kGrain / C), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t sequence = mask.first_sequence + r / T, position = mask.first_position + r % T;
      const int64_t first = (sequence * mask.whole_length + position) * C;
      for (int64_t c = 0; c < C; c += kRun) {
        Real factors[kRun];
        const int64_t n = std::min(kRun, C - c);
        dropout_factors(mask, first + c, n, factors);
        Row<Real>(y + r * C + c, n) = ConstRow<Real>(x + r * C + c, n) * ConstRow<Real>(factors, n);
      }
    }
  });
}

}  // namespace
}  // namespace cpu

void CpuDevice::compute(const op::Add& o) {
  dispatch_computed(o.a.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::add(crew_, o.a.as<Real>(), o.b.as<Real>(), o.b.count() != o.a.count(), o.y.as<Real>(),
             o.a.shape().rows(), o.a.shape()[-1]);
  });
}

void CpuDevice::compute(const op::Gelu& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::gelu(crew_, o.kind, o.x.as<Real>(), o.y.as<Real>(), o.x.count());
  });
}

void CpuDevice::compute(const op::GeluBackward& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::gelu_backward(crew_, o.kind, o.x.as<Real>(), o.dy.as<Real>(), o.dx.as<Real>(),
                       o.x.count());
  });
}

void CpuDevice::compute(const op::Dropout& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::dropout(crew_, o.x.as<Real>(), o.mask, o.y.as<Real>(), o.x.shape()[0], o.x.shape()[1],
                 o.x.shape()[2]);
  });
}

}  // namespace tplab
