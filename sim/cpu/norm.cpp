// Norms over rows, and their gradients, on the CPU.
#include <algorithm>
#include <cmath>

#include "sim/cpu/cpu_device.h"
#include "sim/cpu/tasks.h"
#include "sim/cpu/views.h"

namespace tplab {

namespace cpu {
namespace {

template <class Real>
struct LayerNorm {
  const Real *x, *weight, *bias;  // bias may be null
  Real* y;
  int64_t rows, C;
  Real eps;
};

template <class Real>
void layer_norm(Crew& crew, const LayerNorm<Real>& a) {
  const ConstRow<Real> weight(a.weight, a.C);
  crew.parallel_for(a.rows, grain_of(a.C * kBytes<Real>), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const ConstRow<Real> x(a.x + r * a.C, a.C);
      Row<Real> y(a.y + r * a.C, a.C);
      const Real mean = x.mean();
      const Real variance = (x - mean).square().mean();
      const Real scale = Real(1) / std::sqrt(variance + a.eps);
      if (a.bias) {
        y = (x - mean) * scale * weight + ConstRow<Real>(a.bias, a.C);
      } else {
        y = (x - mean) * scale * weight;
      }
    }
  });
}

template <class Real>
struct RmsNorm {
  const Real *x, *weight;
  Real* y;
  int64_t rows, C;
  Real eps, plus;  // what is added to a weight: 0 or 1
};

template <class Real>
void rms_norm(Crew& crew, const RmsNorm<Real>& a) {
  const ConstRow<Real> weight(a.weight, a.C);
  crew.parallel_for(a.rows, grain_of(a.C * kBytes<Real>), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const ConstRow<Real> x(a.x + r * a.C, a.C);
      const Real scale = Real(1) / std::sqrt(x.square().mean() + a.eps);
      Row<Real>(a.y + r * a.C, a.C) = x * scale * (weight + a.plus);
    }
  });
}

template <class Real>
struct NormBackward {
  const Real *x, *weight, *dy;
  Real *dx, *dweight, *dbias;  // dbias may be null
  int64_t rows, C;
  Real eps, plus;  // what is added to a weight: 0 or 1
};

// The rows are cut into pieces of this many; the sums over a piece's rows are added up in the order
// of the pieces.
constexpr int64_t kPieceRows = 16;

int64_t norm_backward_scratch_count(int64_t rows, int64_t C) {
  return (rows + kPieceRows - 1) / kPieceRows * 2 * C;
}

// The first `count` numbers of a register, or all; what is missing is `rest`.
template <class Real>
Packet<Real> load_first(const Real* from, int64_t count, Real rest = Real(0)) {
  if (count >= kWidth<Real>) return load(from);
  Real each[kWidth<Real>];
  std::fill_n(each, kWidth<Real>, rest);
  std::copy_n(from, count, each);
  return load(each);
}
template <class Real>
void store_first(Real* to, const Packet<Real>& x, int64_t count) {
  if (count >= kWidth<Real>) return store(to, x);
  Real each[kWidth<Real>];
  store(each, x);
  std::copy_n(each, count, to);
}

// Calls f(first, count) for the registers of a row; only the last count may be short.
template <class Real, class F>
void for_registers(int64_t C, F f) {
  int64_t i = 0;
  for (; i + kWidth<Real> <= C; i += kWidth<Real>) f(i, kWidth<Real>);
  if (i < C) f(i, C - i);
}

// One row of a piece; the sums over its rows so far are in dweight and dbias. Of a layer norm, or
// not centred: of an RMS norm, which has no mean and no bias, and may add 1 to its weights.
template <bool kCentred, class Real>
void norm_backward_row(const NormBackward<Real>& a, int64_t r, Real* dweight, Real* dbias) {
  using namespace Eigen::internal;
  const int64_t C = a.C;
  const Real *const x = a.x + r * C, *const dy = a.dy + r * C;
  Real* const dx = a.dx + r * C;
  const auto mean_of = [&](const Packet<Real>& sums) {
    return predux(sums) / static_cast<Real>(C);
  };

  const auto weight = [&](int64_t i, int64_t n) {
    const Packet<Real> w = load_first(a.weight + i, n);
    return kCentred ? w : padd(w, all(a.plus));
  };

  Packet<Real> sum = all(Real(0)), squares = sum, gs = sum, gds = sum;
  if (kCentred)
    for_registers<Real>(C, [&](int64_t i, int64_t n) { sum = padd(sum, load_first(x + i, n)); });
  const Real mean = mean_of(sum);
  const Packet<Real> means = all(mean);
  for_registers<Real>(C, [&](int64_t i, int64_t n) {
    const Packet<Real> g = pmul(load_first(dy + i, n), weight(i, n));
    const Packet<Real> d = psub(load_first(x + i, n, mean), means);  // 0 past the end, as g is
    squares = fma(d, d, squares);
    gs = padd(gs, g);
    gds = fma(g, d, gds);
  });
  const Real scale = Real(1) / std::sqrt(mean_of(squares) + a.eps);
  const Packet<Real> scales = all(scale), less = all(kCentred ? mean_of(gs) : Real(0));
  const Packet<Real> slope = all(mean_of(gds) * scale * scale);
  for_registers<Real>(C, [&](int64_t i, int64_t n) {
    const Packet<Real> g = load_first(dy + i, n), d = psub(load_first(x + i, n), means);
    const Packet<Real> centred = psub(pmul(g, weight(i, n)), less);
    store_first(dweight + i, fma(pmul(d, scales), g, load_first(dweight + i, n)), n);
    if (kCentred) store_first(dbias + i, padd(load_first(dbias + i, n), g), n);
    store_first(dx + i, pmul(psub(centred, pmul(d, slope)), scales), n);
  });
}

template <bool kCentred, class Real>
void norm_backward(Crew& crew, const NormBackward<Real>& a, Real* scratch) {
  const int64_t pieces = (a.rows + kPieceRows - 1) / kPieceRows;
  for_each_task(crew, pieces, [&](int64_t piece, int64_t) {
    Real *const dweight = scratch + piece * 2 * a.C, *const dbias = dweight + a.C;
    std::fill_n(dweight, 2 * a.C, Real(0));
    const int64_t end = std::min((piece + 1) * kPieceRows, a.rows);
    for (int64_t r = piece * kPieceRows; r < end; ++r) {
      norm_backward_row<kCentred>(a, r, dweight, dbias);
    }
  });
  for_columns<Real>(crew, 2 * pieces, a.C, [&](int64_t col, int64_t cols) {
    for (int64_t piece = 0; piece < pieces; ++piece) {
      const Real* const from = scratch + piece * 2 * a.C + col;
      Row<Real>(a.dweight + col, cols) += ConstRow<Real>(from, cols);
      if (a.dbias) Row<Real>(a.dbias + col, cols) += ConstRow<Real>(from + a.C, cols);
    }
  });
}

// What both norms' gradients are told.
template <class Real, class Op>
NormBackward<Real> norm_backward_of(const Op& o) {
  return {.x = o.x.template as<Real>(),
          .weight = o.weight.template as<Real>(),
          .dy = o.dy.template as<Real>(),
          .dx = o.dx.template as<Real>(),
          .dweight = o.dweight.template as<Real>(),
          .dbias = nullptr,
          .rows = o.x.shape().rows(),
          .C = o.x.shape()[-1],
          .eps = static_cast<Real>(o.eps),
          .plus = 0};
}

}  // namespace
}  // namespace cpu

void CpuDevice::compute(const op::LayerNorm& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::layer_norm<Real>(crew_, {.x = o.x.as<Real>(),
                                  .weight = o.weight.as<Real>(),
                                  .bias = cpu::or_null<Real>(o.bias),
                                  .y = o.y.as<Real>(),
                                  .rows = o.x.shape().rows(),
                                  .C = o.x.shape()[-1],
                                  .eps = static_cast<Real>(o.eps)});
  });
}

void CpuDevice::compute(const op::LayerNormBackward& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::NormBackward<Real> a = cpu::norm_backward_of<Real>(o);
    a.dbias = o.dbias.present() ? o.dbias.as<Real>() : nullptr;
    const Array scratch =
        allocate(o.x.dtype(), Shape{cpu::norm_backward_scratch_count(a.rows, a.C)});
    cpu::norm_backward<true>(crew_, a, scratch.as<Real>());
  });
}

void CpuDevice::compute(const op::RmsNorm& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::rms_norm<Real>(crew_, {.x = o.x.as<Real>(),
                                .weight = o.weight.as<Real>(),
                                .y = o.y.as<Real>(),
                                .rows = o.x.shape().rows(),
                                .C = o.x.shape()[-1],
                                .eps = static_cast<Real>(o.eps),
                                .plus = static_cast<Real>(o.plus_one ? 1 : 0)});
  });
}

void CpuDevice::compute(const op::RmsNormBackward& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::NormBackward<Real> a = cpu::norm_backward_of<Real>(o);
    a.plus = static_cast<Real>(o.plus_one ? 1 : 0);
    const Array scratch =
        allocate(o.x.dtype(), Shape{cpu::norm_backward_scratch_count(a.rows, a.C)});
    cpu::norm_backward<false>(crew_, a, scratch.as<Real>());
  });
}

}  // namespace tplab
