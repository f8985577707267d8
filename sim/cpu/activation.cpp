// What acts on one number at a time, on the CPU: sums, activations,
// gates, soft caps, dropout.
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

// Of x σ(alpha x), with s = σ(alpha x): s + alpha x s (1 - s).
template <class Real>
Packet<Real> gate_slope(const Packet<Real>& x, Real alpha) {
  using namespace Eigen::internal;
  const Packet<Real> u = pmul(x, all(alpha)), s = sigmoid<Real>(u);
  return fma(pmul(pmax(pmin(u, all(Real(1e3))), all(Real(-1e3))), s), psub(all(Real(1)), s), s);
}

template <class Real>
Packet<Real> tanh_slope(const Packet<Real>& x) {
  const Packet<Real> y = tanh(Real(), x);
  return Eigen::internal::psub(all(Real(1)), Eigen::internal::pmul(y, y));
}

// 1 where x > 0, else 0.
template <class Real>
Packet<Real> relu_slope(const Packet<Real>& x) {
  using namespace Eigen::internal;
  return unless_nan(x, pselect(pcmp_lt(all(Real(0)), x), all(Real(1)), all(Real(0))));
}

// Calls what(f), f being the kind's function of a register.
template <class Real, class What>
void with_activation(ActivationKind kind, What what) {
  using P = Packet<Real>;
  switch (kind) {
    case ActivationKind::gelu:
      return what([](const P& x) { return gelu_erf(Real(), x); });
    case ActivationKind::gelu_tanh:
      return what([](const P& x) { return gelu_tanh(Real(), x); });
    case ActivationKind::silu:
      return what([](const P& x) { return gate<Real>(x, Real(1)); });
    case ActivationKind::quick_gelu:
      return what([](const P& x) { return gate<Real>(x, Real(1.702)); });
    case ActivationKind::relu:
      return what([](const P& x) { return unless_nan(x, Eigen::internal::pmax(x, all(Real(0)))); });
    case ActivationKind::tanh:
      return what([](const P& x) { return tanh(Real(), x); });
  }
}

// The same with its slope.
template <class Real, class What>
void with_slope(ActivationKind kind, What what) {
  using P = Packet<Real>;
  switch (kind) {
    case ActivationKind::gelu:
      return what([](const P& x) { return gelu_erf_slope(Real(), x); });
    case ActivationKind::gelu_tanh:
      return what([](const P& x) { return gelu_tanh_slope(Real(), x); });
    case ActivationKind::silu:
      return what([](const P& x) { return gate_slope<Real>(x, Real(1)); });
    case ActivationKind::quick_gelu:
      return what([](const P& x) { return gate_slope<Real>(x, Real(1.702)); });
    case ActivationKind::relu:
      return what([](const P& x) { return relu_slope<Real>(x); });
    case ActivationKind::tanh:
      return what([](const P& x) { return tanh_slope<Real>(x); });
  }
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

constexpr int64_t kGatedRun = 512;  // numbers whose gates are held at once

// Calls f(row, first of F, how many) for runs of the rows' numbers.
template <class F_>
void for_gated_runs(Crew& crew, int64_t rows, int64_t F, F_ f) {
  const int64_t runs = (F + kGatedRun - 1) / kGatedRun;
  crew.parallel_for(rows * runs, 4096 / kGatedRun, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % runs * kGatedRun;
      f(i / runs, first, std::min(kGatedRun, F - first));
    }
  });
}

// x: [rows, 2 F]   y: [rows, F]
template <class Real>
void gated(Crew& crew, const Gate& how, const Real* x, Real* y, int64_t rows, int64_t F) {
  using namespace Eigen::internal;
  const Packet<Real> limit = all(static_cast<Real>(how.limit));
  const auto alpha = static_cast<Real>(how.alpha);
  const auto run = [&](auto gate_of, auto up_of) {
    for_gated_runs(crew, rows, F, [&](int64_t r, int64_t first, int64_t n) {
      Real gates[kGatedRun], ups[kGatedRun];
      map_packets(x + r * 2 * F + first, gates, n, gate_of);
      map_packets(x + r * 2 * F + F + first, ups, n, up_of);
      Row<Real>(y + r * F + first, n) = ConstRow<Real>(gates, n) * ConstRow<Real>(ups, n);
    });
  };
  const auto as_it_is = [](const Packet<Real>& up) { return up; };
  if (how.limit == 0)
    return with_activation<Real>(how.activation, [&](auto f) { run(f, as_it_is); });
  run([&](const Packet<Real>& g) { return gate<Real>(pmin(g, limit), alpha); },
      [&](const Packet<Real>& up) {
        return padd(pmax(pmin(up, limit), pnegate(limit)), all(Real(1)));
      });
}

// x, dx: [rows, 2 F]   dy: [rows, F]
template <class Real>
void gated_backward(Crew& crew, const Gate& how, const Real* x, const Real* dy, Real* dx,
                    int64_t rows, int64_t F) {
  using namespace Eigen::internal;
  const Packet<Real> limit = all(static_cast<Real>(how.limit)), none = all(Real(0));
  const auto alpha = static_cast<Real>(how.alpha);
  // gate and its slope, what it lets through and that one's slope
  const auto run = [&](auto gate_of, auto slope_of, auto up_of, auto up_slope_of) {
    for_gated_runs(crew, rows, F, [&](int64_t r, int64_t first, int64_t n) {
      const Real *const g = x + r * 2 * F + first, *const up = g + F;
      Real *const dg = dx + r * 2 * F + first, *const dup = dg + F;
      const ConstRow<Real> d(dy + r * F + first, n);
      Real some[kGatedRun], others[kGatedRun];
      map_packets(g, some, n, slope_of);
      map_packets(up, others, n, up_of);
      Row<Real>(dg, n) = d * ConstRow<Real>(others, n) * ConstRow<Real>(some, n);
      map_packets(g, some, n, gate_of);
      map_packets(up, others, n, up_slope_of);
      Row<Real>(dup, n) = d * ConstRow<Real>(some, n) * ConstRow<Real>(others, n);
    });
  };
  const auto as_it_is = [](const Packet<Real>& up) { return up; };
  const auto one = [](const Packet<Real>&) { return all(Real(1)); };
  if (how.limit == 0) {
    return with_activation<Real>(how.activation, [&](auto f) {
      with_slope<Real>(how.activation, [&](auto slope) { run(f, slope, as_it_is, one); });
    });
  }
  run([&](const Packet<Real>& g) { return gate<Real>(pmin(g, limit), alpha); },
      [&](const Packet<Real>& g) {
        return pselect(pcmp_lt(limit, g), none, gate_slope<Real>(g, alpha));
      },
      [&](const Packet<Real>& up) {
        return padd(pmax(pmin(up, limit), pnegate(limit)), all(Real(1)));
      },
      [&](const Packet<Real>& up) {
        return pselect(pcmp_lt(limit, pabs(up)), none, all(Real(1)));
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

void CpuDevice::compute(const op::Gated& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::gated(crew_, o.gate, o.x.as<Real>(), o.y.as<Real>(), o.y.shape().rows(), o.y.shape()[-1]);
  });
}

void CpuDevice::compute(const op::GatedBackward& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::gated_backward(crew_, o.gate, o.x.as<Real>(), o.dy.as<Real>(), o.dx.as<Real>(),
                        o.dy.shape().rows(), o.dy.shape()[-1]);
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
