// Rotary positions on the CPU.
#include <algorithm>

#include "sim/cpu/cpu_device.h"
#include "sim/cpu/tasks.h"
#include "sim/cpu/views.h"

namespace tplab {

namespace cpu {
namespace {

template <class Real>
struct Rotary {
  const Real *x, *table;
  Real* y;                // may be x
  const int32_t* filled;  // a sequence's first position; null: 0
  int64_t rows, T, W, heads, D, R;
  Real sign;  // of the sines: -1 where it is the inverse
};

// One head. half: R / 2
template <class Real>
void turn(const Real* x, const Real* cos, const Real* sin, Real sign, int64_t half, Real* y) {
  using namespace Eigen::internal;
  const Packet<Real> signs = all(sign);
  int64_t i = 0;
  for (; i + kWidth<Real> <= half; i += kWidth<Real>) {
    const Packet<Real> a = load(x + i), b = load(x + half + i), c = load(cos + i);
    const Packet<Real> s = pmul(load(sin + i), signs);
    store(y + i, psub(pmul(a, c), pmul(b, s)));
    store(y + half + i, padd(pmul(b, c), pmul(a, s)));
  }
  for (; i < half; ++i) {
    const Real a = x[i], b = x[half + i], s = sin[i] * sign;
    y[i] = a * cos[i] - b * s;
    y[half + i] = b * cos[i] + a * s;
  }
}

template <class Real>
void rotary(Crew& crew, const Rotary<Real>& a) {
  crew.parallel_for(a.rows, grain_of(a.W * kBytes<Real>), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const Real* const x = a.x + r * a.W;
      Real* const y = a.y + r * a.W;
      if (x != y) std::copy_n(x, a.W, y);
      const int64_t position = (a.filled ? a.filled[r / a.T] : 0) + r % a.T;
      const Real* const angles = a.table + position * a.R;
      for (int64_t h = 0; h < a.heads; ++h)
        turn(x + h * a.D, angles, angles + a.R / 2, a.sign, a.R / 2, y + h * a.D);
    }
  });
}

}  // namespace
}  // namespace cpu

void CpuDevice::compute(const op::Rotary& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::rotary<Real>(crew_, {.x = o.x.as<Real>(),
                              .table = o.table.as<Real>(),
                              .y = o.y.as<Real>(),
                              .filled = cpu::or_null<int32_t>(o.past.filled),
                              .rows = o.x.shape().rows(),
                              .T = o.x.shape()[1],
                              .W = o.x.shape()[2],
                              .heads = o.heads,
                              .D = o.head_size,
                              .R = o.table.shape()[1],
                              .sign = static_cast<Real>(o.inverse ? -1 : 1)});
  });
}

}  // namespace tplab
