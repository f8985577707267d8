// The dense layers' matrix products.
#include "verify/reference/dense_product.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <type_traits>

#include "verify/parallel.h"
#include "verify/reference/eigen.h"
#include "verify/reference/rough.h"

namespace tplab::dense {
namespace {

template <class Real>
using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstMap = Eigen::Map<const Matrix<double>>;

// The largest finite |number|.
double largest_of(const auto& a) {
  double largest = 0;
  for (int64_t i = 0; i < a.rows(); ++i)
    for (int64_t j = 0; j < a.cols(); ++j)
      if (std::isfinite(a(i, j))) largest = std::max(largest, std::abs(a(i, j)));
  return largest;
}

// Numbers over `scale`, squared, in float: their products need three digits, not sixteen.
struct Squares {
  double scale;
  Matrix<float> values;
};
Squares squares_of(const auto& a) {
  const double largest = largest_of(a), scale = largest > 0 ? largest : 1;
  return {scale, (a / scale).cwiseAbs2().template cast<float>()};
}

// c = a b, a stretch of columns a thread.   a, b: matrices or transposes of some
template <class Real>
void product(const auto& a, const auto& b, Real* c) {
  constexpr int64_t kTile = 256;  // enough columns for Eigen's own blocking
  const int64_t m = a.rows(), k = a.cols(), n = b.cols();
  Eigen::Map<Matrix<double>> sums(as_doubles(c), m, n);
  std::optional<Squares> a_squares;
  if constexpr (!std::is_same_v<Real, double>) a_squares = squares_of(a);
  for_each_tile(n, kTile, m * k * n, [&](int64_t first, int64_t width) {
    const auto b_tile = b.middleCols(first, width);
    auto tile = sums.middleCols(first, width);
    tile.noalias() = a * b_tile;
    if constexpr (!std::is_same_v<Real, double>) {
      const Squares b_squares = squares_of(b_tile);
      const Matrix<float> terms2 = a_squares->values * b_squares.values;  // over scales²
      const double scale = a_squares->scale * b_squares.scale;
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < width; ++j)
          tile(i, j) =
              static_cast<double>(rounded_sum<Real>(tile(i, j), scale * scale * terms2(i, j), k));
    }
  });
}

template <class Real>
ConstMap matrix(const Real* a, int64_t rows, int64_t cols) {
  return {as_doubles(a), rows, cols};
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

// NOLINTBEGIN(bugprone-macro-parentheses): a type
#define TPLAB_INSTANTIATE(Real)                                                                  \
  template void multiply(const Real*, const Real*, Real*, int64_t, int64_t, int64_t);            \
  template void multiply_transposed(const Real*, const Real*, Real*, int64_t, int64_t, int64_t); \
  template void transposed_multiply(const Real*, const Real*, Real*, int64_t, int64_t, int64_t);
// NOLINTEND(bugprone-macro-parentheses)
TPLAB_INSTANTIATE(double)
TPLAB_INSTANTIATE(Rough<DType::f32>)
TPLAB_INSTANTIATE(Rough<DType::f64>)
#undef TPLAB_INSTANTIATE

}  // namespace tplab::dense
