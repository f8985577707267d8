// The dense layers' matrix products.
#include "verify/reference/dense_product.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <type_traits>
#include <vector>

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

// The terms of one rank: its part of each group of a's columns.
Matrix<double> columns_of(const auto& a, int64_t rank, SharedSum shared) {
  const int64_t of_group = a.cols() / shared.groups;
  const int64_t begin = of_group * rank / shared.ranks, end = of_group * (rank + 1) / shared.ranks;
  Matrix<double> mine(a.rows(), shared.groups * (end - begin));
  for (int64_t g = 0; g < shared.groups; ++g)
    mine.middleCols(g * (end - begin), end - begin) =
        a.middleCols(g * of_group + begin, end - begin);
  return mine;
}

// The same, each rank's term stored, and their sum after each of them: as many roundings as any
// way to add them up has.
template <class Real>
void product(const auto& a, const auto& b, Real* c, SharedSum shared) {
  if (!kIsStoredRounded<Real> || shared.ranks == 1) return product(a, b, c);
  if constexpr (kIsStoredRounded<Real>) {
    const auto count = static_cast<size_t>(a.rows() * b.cols());
    std::vector<Real> term(count);
    for (int64_t rank = 0; rank < shared.ranks; ++rank) {
      const Matrix<double> left = columns_of(a, rank, shared);
      const Matrix<double> right = columns_of(b.transpose(), rank, shared);
      product(left, right.transpose(), term.data());
      for (size_t i = 0; i < count; ++i)
        c[i] = rank == 0 ? term[i].stored() : (c[i] + term[i].stored()).stored();
    }
  }
}

template <class Real>
ConstMap matrix(const Real* a, int64_t rows, int64_t cols) {
  return {as_doubles(a), rows, cols};
}

}  // namespace

template <class Real>
void multiply(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n,
              SharedSum shared) {
  product(matrix(a, m, k), matrix(b, k, n), c, shared);
}

template <class Real>
void multiply_transposed(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n,
                         SharedSum shared) {
  product(matrix(a, m, k), matrix(b, n, k).transpose(), c, shared);
}

template <class Real>
void transposed_multiply(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n) {
  product(matrix(a, k, m).transpose(), matrix(b, k, n), c);
}

// NOLINTBEGIN(bugprone-macro-parentheses): a type
#define TPLAB_INSTANTIATE(Real)                                                                  \
  template void multiply(const Real*, const Real*, Real*, int64_t, int64_t, int64_t, SharedSum); \
  template void multiply_transposed(const Real*, const Real*, Real*, int64_t, int64_t, int64_t,  \
                                    SharedSum);                                                  \
  template void transposed_multiply(const Real*, const Real*, Real*, int64_t, int64_t, int64_t);
// NOLINTEND(bugprone-macro-parentheses)
TPLAB_FOR_EACH_REAL(TPLAB_INSTANTIATE)
#undef TPLAB_INSTANTIATE

}  // namespace tplab::dense
