// What acts on one number at a time, on the CPU: sums, activations, soft caps, dropout.
#include <algorithm>
#include <cmath>

#include "sim/cpu/cpu_device.h"
#include "sim/cpu/dropout.h"
#include "sim/cpu/slopes.h"
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

// y = f(x), number by number.
template <class Real, class F>
void map_all(Crew& crew, const Real* x, Real* y, int64_t count, F f) {
  constexpr int64_t kGrain = 4096;
  crew.parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    map_packets(x + begin, y + begin, end - begin, f);
  });
}

// dx = dy slope(x), number by number.
template <class Real, class Slope>
void scale_by_slope(Crew& crew, const Real* x, const Real* dy, Real* dx, int64_t count,
                    Slope slope) {
  constexpr int64_t kGrain = 4096;
  crew.parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    constexpr int64_t kRun = 64 * kWidth<Real>;
    Real slopes[kRun];
    for (int64_t i = begin; i < end; i += kRun) {
      const int64_t n = std::min(kRun, end - i);
      map_packets(x + i, slopes, n, slope);
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

void CpuDevice::compute(const op::Activation& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::with_activation<Real>(o.kind, [&](auto f) {
      cpu::map_all(crew_, o.x.as<Real>(), o.y.as<Real>(), o.x.count(), f);
    });
  });
}

void CpuDevice::compute(const op::ActivationBackward& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::with_slope<Real>(o.kind, [&](auto slope) {
      cpu::scale_by_slope(crew_, o.x.as<Real>(), o.dy.as<Real>(), o.dx.as<Real>(), o.x.count(),
                          slope);
    });
  });
}

void CpuDevice::compute(const op::SoftCap& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const auto cap = static_cast<Real>(o.cap), one_over = static_cast<Real>(1 / o.cap);
    cpu::map_all(crew_, o.x.as<Real>(), o.y.as<Real>(), o.x.count(),
                 [&](const auto& x) { return cpu::soft_cap<Real>(x, cap, one_over); });
  });
}

void CpuDevice::compute(const op::SoftCapBackward& o) {
  dispatch_computed(o.y.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const auto one_over = static_cast<Real>(1 / o.cap);
    cpu::scale_by_slope(crew_, o.y.as<Real>(), o.dy.as<Real>(), o.dx.as<Real>(), o.y.count(),
                        [&](const auto& y) { return cpu::soft_cap_slope<Real>(y, one_over); });
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
