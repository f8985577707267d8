// Gates and what they let through, on the CPU.
#include <algorithm>

#include "sim/cpu/cpu_device.h"
#include "sim/cpu/slopes.h"
#include "sim/cpu/views.h"

namespace tplab {

namespace cpu {
namespace {

constexpr int64_t kGatedRun = 512;  // numbers whose gates are held at once

// Calls work(row, first of F, how many) for runs of the rows' numbers.
template <class Work>
void for_gated_runs(Crew& crew, int64_t rows, int64_t F, Work work) {
  const int64_t runs = (F + kGatedRun - 1) / kGatedRun;
  crew.parallel_for(rows * runs, 4096 / kGatedRun, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % runs * kGatedRun;
      work(i / runs, first, std::min(kGatedRun, F - first));
    }
  });
}

// What a clamped gate lets through: up' + 1, up' within the limit.
template <class Real>
Packet<Real> clamped_up(const Packet<Real>& up, const Packet<Real>& limit) {
  using namespace Eigen::internal;
  return padd(pmax(pmin(up, limit), pnegate(limit)), all(Real(1)));
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
      [&](const Packet<Real>& up) { return clamped_up<Real>(up, limit); });
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
      [&](const Packet<Real>& up) { return clamped_up<Real>(up, limit); },
      [&](const Packet<Real>& up) {
        return pselect(pcmp_lt(limit, pabs(up)), none, all(Real(1)));
      });
}

}  // namespace
}  // namespace cpu

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

}  // namespace tplab
