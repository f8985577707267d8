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
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <future>
#include <system_error>
#include <type_traits>

#include "verify/rough.h"

namespace tplab::dense {
namespace {

int64_t cores() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

// f(first, how many) for the tiles of [0, n), on as many threads as have enough to multiply for it
// to be worth it. Where the system gives fewer, those that there are do it all.
template <class F>
void for_each_tile(int64_t n, int64_t tile, int64_t multiplications, F f) {
  constexpr int64_t kWorth = 2 << 20;  // a thread costs as much as some 200,000
  std::atomic<int64_t> next = 0;
  const auto work = [&] {
    for (int64_t i = next++ * tile; i < n; i = next++ * tile) f(i, std::min(tile, n - i));
  };
  std::vector<std::future<void>> others;
  const int64_t threads = std::min({cores(), multiplications / kWorth, (n + tile - 1) / tile});
  try {
    for (int64_t i = 1; i < threads; ++i) others.push_back(std::async(std::launch::async, work));
  } catch (const std::system_error&) {
  }
  work();
  for (std::future<void>& other : others) other.get();
}

template <class Real>
using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstMap = Eigen::Map<const Matrix<double>>;

// c = a b, with Eigen, a stretch of columns a thread.   a, b: matrices or transposes of some
template <class Real>
void multiply_with_eigen(const auto& a, const auto& b, Eigen::Map<Matrix<Real>> c) {
  constexpr int64_t kTile = 256;  // enough columns for Eigen's own blocking
  for_each_tile(c.cols(), kTile, a.rows() * a.cols() * c.cols(), [&](int64_t j, int64_t width) {
    c.middleCols(j, width).noalias() = a * b.middleCols(j, width);
  });
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
    constexpr int64_t kTile = 16384, kRounding = 16;  // multiplications that take as long
    for_each_tile(m * n, kTile, kRounding * m * n, [&](int64_t first, int64_t count) {
      for (int64_t i = first; i < first + count; ++i)
        c[i] = rounded_sum<Real>(sums.data()[i], scale * scale * squares.data()[i], k);
    });
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
