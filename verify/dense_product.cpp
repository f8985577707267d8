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
#include <type_traits>
#include <vector>

namespace tplab::dense {
namespace {

// ThreadSanitizer does not know libgomp's barriers and reports races that are none.
#if defined(__SANITIZE_THREAD__)
constexpr bool kThreads = false;
#else
constexpr bool kThreads = true;
#endif

// b: [n, k]   ->   [k, n]
template <class Real>
std::vector<Real> transpose(const Real* b, int64_t n, int64_t k) {
  constexpr int64_t kTile = 32;  // a tile of both matrices fits in the cache
  std::vector<Real> out(static_cast<size_t>(n * k));
  Real* to = out.data();
#pragma omp parallel for if (kThreads && n * k > 65536)
  for (int64_t j0 = 0; j0 < n; j0 += kTile)
    for (int64_t p0 = 0; p0 < k; p0 += kTile)
      for (int64_t p = p0; p < std::min(p0 + kTile, k); ++p)
        for (int64_t j = j0; j < std::min(j0 + kTile, n); ++j) to[p * n + j] = b[j * k + p];
  return out;
}

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstMap = Eigen::Map<const Matrix>;

// c = a b, with Eigen, a stretch of columns a thread.   a, b: matrices or transposes of some
void multiply_with_eigen(const auto& a, const auto& b, Eigen::Map<Matrix> c) {
  constexpr int64_t kTile = 256;  // enough columns for Eigen's own blocking
  const int64_t n = c.cols();
#pragma omp parallel for if (kThreads && n > kTile)
  for (int64_t j = 0; j < n; j += kTile) {
    const int64_t width = std::min(kTile, n - j);
    c.middleCols(j, width).noalias() = a * b.middleCols(j, width);
  }
}

}  // namespace

// float: c[i, :] = a[i, 0] b[0, :] + a[i, 1] b[1, :] + ..., so each element's sum is in order of k.
template <class Real>
void multiply(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n) {
  if constexpr (std::is_same_v<Real, double>) {
    multiply_with_eigen(ConstMap(a, m, k), ConstMap(b, k, n), Eigen::Map<Matrix>(c, m, n));
  } else {
    constexpr int64_t kTile = 64;  // columns at a time: their part of b stays in cache over all i
#pragma omp parallel for if (kThreads && m * k * n > 65536)
    for (int64_t j0 = 0; j0 < n; j0 += kTile) {
      const int64_t width = std::min(kTile, n - j0);
      for (int64_t i = 0; i < m; ++i) {
        Real sum[kTile] = {};
        for (int64_t p = 0; p < k; ++p)
          for (int64_t j = 0; j < width; ++j) sum[j] += a[i * k + p] * b[p * n + j0 + j];
        std::copy(sum, sum + width, c + i * n + j0);
      }
    }
  }
}

template <class Real>
void multiply_transposed(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n) {
  if constexpr (std::is_same_v<Real, double>) {
    multiply_with_eigen(ConstMap(a, m, k), ConstMap(b, n, k).transpose(),
                        Eigen::Map<Matrix>(c, m, n));
  } else {
    multiply(a, transpose(b, n, k).data(), c, m, k, n);
  }
}

template <class Real>
void transposed_multiply(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n) {
  if constexpr (std::is_same_v<Real, double>) {
    multiply_with_eigen(ConstMap(a, k, m).transpose(), ConstMap(b, k, n),
                        Eigen::Map<Matrix>(c, m, n));
  } else {
    multiply(transpose(a, k, m).data(), b, c, m, k, n);
  }
}

template void multiply(const double*, const double*, double*, int64_t, int64_t, int64_t);
template void multiply_transposed(const double*, const double*, double*, int64_t, int64_t, int64_t);
template void transposed_multiply(const double*, const double*, double*, int64_t, int64_t, int64_t);
template void multiply(const float*, const float*, float*, int64_t, int64_t, int64_t);
template void multiply_transposed(const float*, const float*, float*, int64_t, int64_t, int64_t);
template void transposed_multiply(const float*, const float*, float*, int64_t, int64_t, int64_t);

}  // namespace tplab::dense
