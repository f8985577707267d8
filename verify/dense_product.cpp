// The dense layers' matrix products.
#include "verify/dense_product.h"

#if !defined(__clang__)  // GCC 12 warns of its own AVX-512 header, inlined into Eigen (bug 105593)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <Eigen/Core>
#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "verify/rough.h"

namespace tplab::dense {
namespace {

// ThreadSanitizer does not know libgomp's barriers and reports races that are none.
#if defined(__SANITIZE_THREAD__)
constexpr bool kThreads = false;
#else
constexpr bool kThreads = true;
#endif

template <class Real>
using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstMap = Eigen::Map<const Matrix<double>>;

// c = a b, with Eigen, a stretch of columns a thread.   a, b: matrices or transposes of some
template <class Real>
void multiply_with_eigen(const auto& a, const auto& b, Eigen::Map<Matrix<Real>> c) {
  constexpr int64_t kTile = 256;  // enough columns for Eigen's own blocking
  const int64_t n = c.cols();
#pragma omp parallel for if (kThreads && n > kTile)
  for (int64_t j = 0; j < n; j += kTile) {
    const int64_t width = std::min(kTile, n - j);
    c.middleCols(j, width).noalias() = a * b.middleCols(j, width);
  }
}

// The largest finite |number|.
double largest_of(const auto& a) {
  double largest = 0;
  for (int64_t i = 0; i < a.rows(); ++i)
    for (int64_t j = 0; j < a.cols(); ++j)
      if (std::isfinite(a(i, j))) largest = std::max(largest, std::abs(a(i, j)));
  return largest;
}

// a's numbers over `scale`, squared, in float: their products need three digits, not sixteen.
Matrix<float> squares_of(const auto& a, double scale) {
  return (a / (scale > 0 ? scale : 1)).cwiseAbs2().template cast<float>();
}

template <class Real>
void product(const auto& a, const auto& b, Real* c) {
  const int64_t m = a.rows(), k = a.cols(), n = b.cols();
  if constexpr (std::is_same_v<Real, double>) {
    multiply_with_eigen<double>(a, b, Eigen::Map<Matrix<double>>(c, m, n));
  } else {
    Matrix<double> sums(m, n);
    Matrix<float> squares(m, n);  // the sums of the terms' squares, over scale²
    multiply_with_eigen<double>(a, b, Eigen::Map<Matrix<double>>(sums.data(), m, n));
    const double a_scale = largest_of(a), b_scale = largest_of(b), scale = a_scale * b_scale;
    multiply_with_eigen<float>(squares_of(a, a_scale), squares_of(b, b_scale),
                               Eigen::Map<Matrix<float>>(squares.data(), m, n));
#pragma omp parallel for if (kThreads && m * n > 65536)
    for (int64_t i = 0; i < m * n; ++i)
      c[i] = rounded_sum<Real>(sums.data()[i], scale * scale * squares.data()[i], k);
  }
}

// In memory a Rough is its double.
template <class Real>
ConstMap matrix(const Real* a, int64_t rows, int64_t cols) {
  static_assert(sizeof(Real) == sizeof(double) && std::is_standard_layout_v<Real>);
  return {reinterpret_cast<const double*>(a), rows, cols};
}

}  // namespace

template <class Real>
void multiply(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n) {
  product(matrix(a, m, k), matrix(b, k, n), c);
}

template <class Real>
void multiply_transposed(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n) {
  product(matrix(a, m, k), matrix(b, n, k).transpose(), c);
}

template <class Real>
void transposed_multiply(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n) {
  product(matrix(a, k, m).transpose(), matrix(b, k, n), c);
}

#define TPLAB_INSTANTIATE(Real)                                                                  \
  template void multiply(const Real*, const Real*, Real*, int64_t, int64_t, int64_t);            \
  template void multiply_transposed(const Real*, const Real*, Real*, int64_t, int64_t, int64_t); \
  template void transposed_multiply(const Real*, const Real*, Real*, int64_t, int64_t, int64_t);
TPLAB_INSTANTIATE(double)
TPLAB_INSTANTIATE(Rough<DType::f32>)
TPLAB_INSTANTIATE(Rough<DType::f64>)
#undef TPLAB_INSTANTIATE

}  // namespace tplab::dense
