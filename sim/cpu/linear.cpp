// Products with weights on the CPU: a matrix product for many rows, a stream of W for few.
#include "sim/cpu/cpu_device.h"
#include "sim/cpu/dot.h"
#include "sim/cpu/product.h"
#include "sim/cpu/tasks.h"
#include "sim/cpu/views.h"

namespace tplab {

namespace cpu {
namespace {

template <class Real>
struct Linear {
  const Real* x;     // [rows, k]
  const Real* w;     // [n, k]
  const Real* bias;  // [n] or null
  Real* y;           // [rows, n]
  int64_t rows, k, n;
};

// Up to here reading W from memory is the cost, above it the arithmetic.
constexpr int64_t kFewRows = 8;

// Rows [begin, end) of w, each against the one row of x. Apart from the general case because it is
// the decode step: what happens between two rows of w costs bandwidth here.
template <class Real>
void stream_one(const Linear<Real>& a, int64_t begin, int64_t end) {
  const Real *const x = a.x, *const bias = a.bias;
  Real* const y = a.y;
  const int64_t k = a.k;
  const Real* w = a.w + begin * k;
  for (int64_t n = begin; n < end; ++n, w += k) dot<Real, 1>(x, 0, w, k, y + n, 0);
  for (int64_t n = begin; bias && n < end; ++n) y[n] += bias[n];
}

// Rows [begin, end) of w, each against all rows of x.
template <class Real>
void stream_few(const Linear<Real>& a, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    const Real* const w = a.w + n * a.k;
    Real* const y = a.y + n;
    int64_t r = 0;
    for (; r + 4 <= a.rows; r += 4) dot<Real, 4>(a.x + r * a.k, a.k, w, a.k, y + r * a.n, a.n);
    for (; r + 2 <= a.rows; r += 2) dot<Real, 2>(a.x + r * a.k, a.k, w, a.k, y + r * a.n, a.n);
    if (r < a.rows) dot<Real, 1>(a.x + r * a.k, a.k, w, a.k, y + r * a.n, a.n);
    for (r = 0; a.bias && r < a.rows; ++r) y[r * a.n] += a.bias[n];
  }
}

template <class Real>
void linear_few_rows(Crew& crew, const Linear<Real>& a) {
  const int64_t grain = grain_of(a.k * kBytes<Real>);
  crew.parallel_for(a.n, grain, [&](int64_t begin, int64_t end) {
    if (a.rows == 1) {
      stream_one(a, begin, end);
    } else {
      stream_few(a, begin, end);
    }
  });
}

template <class Real>
void linear_many_rows(Crew& crew, const Linear<Real>& a) {
  multiply<Real>(crew,
                 {.a = a.x,
                  .a_row = a.k,
                  .a_depth = 1,
                  .b = a.w,
                  .b_depth = 1,
                  .b_col = a.k,
                  .c = a.y,
                  .c_row = a.n,
                  .rows = a.rows,
                  .cols = a.n,
                  .depth = a.k,
                  .add = false},
                 a.bias);
}

template <class Real>
void linear(Crew& crew, const Linear<Real>& a) {
  if (a.rows <= kFewRows) {
    linear_few_rows(crew, a);
  } else {
    linear_many_rows(crew, a);
  }
}

template <class Real>
void sum_rows(Crew& crew, const Real* dy, int64_t rows, int64_t C, Real* db) {
  for_columns<Real>(crew, rows, C, [&](int64_t col, int64_t cols) {
    Row<Real> sum(db + col, cols);
    for (int64_t r = 0; r < rows; ++r) sum += ConstRow<Real>(dy + r * C + col, cols);
  });
}

}  // namespace
}  // namespace cpu

void CpuDevice::compute(const op::Linear& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::linear<Real>(crew_, {.x = o.x.as<Real>(),
                              .w = o.w.as<Real>(),
                              .bias = cpu::or_null<Real>(o.bias),
                              .y = o.y.as<Real>(),
                              .rows = o.x.shape().rows(),
                              .k = o.x.shape()[-1],
                              .n = o.w.shape()[0]});
  });
}

// dx = dy W
void CpuDevice::compute(const op::LinearBackwardInput& o) {
  const int64_t N = o.dy.shape()[-1], K = o.dx.shape()[-1];
  dispatch_computed(o.dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::multiply<Real>(crew_,
                        {.a = o.dy.as<Real>(),
                         .a_row = N,
                         .a_depth = 1,
                         .b = o.w.as<Real>(),
                         .b_depth = K,
                         .b_col = 1,
                         .c = o.dx.as<Real>(),
                         .c_row = K,
                         .rows = o.dy.shape().rows(),
                         .cols = K,
                         .depth = N,
                         .add = false},
                        nullptr);
  });
}

// dW += dyᵀ x
void CpuDevice::compute(const op::LinearBackwardWeight& o) {
  const int64_t N = o.dy.shape()[-1], K = o.x.shape()[-1];
  dispatch_computed(o.dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::multiply<Real>(crew_,
                        {.a = o.dy.as<Real>(),
                         .a_row = 1,
                         .a_depth = N,
                         .b = o.x.as<Real>(),
                         .b_depth = K,
                         .b_col = 1,
                         .c = o.dw.as<Real>(),
                         .c_row = K,
                         .rows = N,
                         .cols = K,
                         .depth = o.dy.shape().rows(),
                         .add = true},
                        nullptr);
  });
}

void CpuDevice::compute(const op::SumRows& o) {
  dispatch_computed(o.dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::sum_rows(crew_, o.dy.as<Real>(), o.dy.shape().rows(), o.dy.shape()[-1], o.db.as<Real>());
  });
}

}  // namespace tplab
