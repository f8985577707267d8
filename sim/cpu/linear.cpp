// y = x Wᵀ + b on the CPU: Eigen's matrix product for many rows, a stream of W for few.
#include <algorithm>

#include "sim/cpu/dot.h"
#include "sim/cpu/kernels.h"

namespace tplab::cpu {
namespace {

// Up to here reading W from memory is the cost, above it the arithmetic.
constexpr int64_t kFewRows = 8;

template <class Real>
using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class Real>
using View = Eigen::Map<Matrix<Real>, 0, Eigen::OuterStride<>>;
template <class Real>
using ConstView = Eigen::Map<const Matrix<Real>, 0, Eigen::OuterStride<>>;

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
  const int64_t grain = grain_of(a.k * static_cast<int64_t>(sizeof(Real)));
  crew.parallel_for(a.n, grain, [&](int64_t begin, int64_t end) {
    if (a.rows == 1) {
      stream_one(a, begin, end);
    } else {
      stream_few(a, begin, end);
    }
  });
}

// Cuts `size` into equal pieces of about `wanted`, each a multiple of `unit`. Returns their length.
int64_t piece(int64_t size, int64_t wanted, int64_t unit) {
  const int64_t pieces = std::max<int64_t>(1, (size + wanted / 2) / wanted);
  const int64_t length = (size + pieces - 1) / pieces;
  return (length + unit - 1) / unit * unit;
}

// Adding to a y that holds the bias already makes the bias free. Row-major all round, Eigen
// computes yᵀ += w xᵀ with w as its left operand, the one it packs in panels of 48: the fastest of
// the orders.
template <class Real>
void multiply_tile(const Linear<Real>& a, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  const ConstView<Real> x(a.x + row * a.k, rows, a.k, Eigen::OuterStride<>(a.k));
  const ConstView<Real> w(a.w + col * a.k, cols, a.k, Eigen::OuterStride<>(a.k));
  View<Real> y(a.y + row * a.n + col, rows, cols, Eigen::OuterStride<>(a.n));
  if (a.bias) {
    y.rowwise() = Eigen::Map<const Eigen::Matrix<Real, 1, Eigen::Dynamic>>(a.bias + col, cols);
  } else {
    y.setZero();
  }
  y.noalias() += x * w.transpose();
}

template <class Real>
void linear_many_rows(Crew& crew, const Linear<Real>& a) {
  const int64_t tile_rows = piece(a.rows, 512, 4);
  const int64_t tile_cols = piece(a.n, 384, 48);
  const int64_t across = (a.n + tile_cols - 1) / tile_cols;
  const int64_t down = (a.rows + tile_rows - 1) / tile_rows;
  for_each_task(crew, across * down, [&](int64_t tile, int64_t) {  // neighbours share w
    const int64_t row = tile % down * tile_rows, col = tile / down * tile_cols;
    multiply_tile(a, row, std::min(tile_rows, a.rows - row), col, std::min(tile_cols, a.n - col));
  });
}

}  // namespace

template <class Real>
void linear(Crew& crew, const Linear<Real>& a) {
  if (a.rows <= kFewRows) {
    linear_few_rows(crew, a);
  } else {
    linear_many_rows(crew, a);
  }
}

template void linear(Crew&, const Linear<float>&);
template void linear(Crew&, const Linear<double>&);

}  // namespace tplab::cpu
