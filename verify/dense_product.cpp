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
#include <future>
#include <system_error>
#include <type_traits>
#include <vector>

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

// b: [n, k]   ->   [k, n]
template <class Real>
std::vector<Real> transpose(const Real* b, int64_t n, int64_t k) {
  constexpr int64_t kTile = 32;  // a tile of both matrices fits in the cache
  std::vector<Real> out(static_cast<size_t>(n * k));
  Real* to = out.data();
  for_each_tile(n, kTile, n * k, [&](int64_t j0, int64_t width) {
    for (int64_t p0 = 0; p0 < k; p0 += kTile)
      for (int64_t p = p0; p < std::min(p0 + kTile, k); ++p)
        for (int64_t j = j0; j < j0 + width; ++j) to[p * n + j] = b[j * k + p];
  });
  return out;
}

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstMap = Eigen::Map<const Matrix>;

// c = a b, with Eigen, a stretch of columns a thread.   a, b: matrices or transposes of some
void multiply_with_eigen(const auto& a, const auto& b, Eigen::Map<Matrix> c) {
  constexpr int64_t kTile = 256;  // enough columns for Eigen's own blocking
  for_each_tile(c.cols(), kTile, a.rows() * a.cols() * c.cols(), [&](int64_t j, int64_t width) {
    c.middleCols(j, width).noalias() = a * b.middleCols(j, width);
  });
}

}  // namespace

// float: c[i, :] = a[i, 0] b[0, :] + a[i, 1] b[1, :] + ..., so each element's sum is in order of k.
template <class Real>
void multiply(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n) {
  if constexpr (std::is_same_v<Real, double>) {
    multiply_with_eigen(ConstMap(a, m, k), ConstMap(b, k, n), Eigen::Map<Matrix>(c, m, n));
  } else {
    constexpr int64_t kTile = 64;  // columns at a time: their part of b stays in cache over all i
    for_each_tile(n, kTile, m * k * n, [&](int64_t j0, int64_t width) {
      for (int64_t i = 0; i < m; ++i) {
        Real sum[kTile] = {};
        for (int64_t p = 0; p < k; ++p)
          for (int64_t j = 0; j < width; ++j) sum[j] += a[i * k + p] * b[p * n + j0 + j];
        std::copy(sum, sum + width, c + i * n + j0);
      }
    });
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
