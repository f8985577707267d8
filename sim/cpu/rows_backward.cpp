// The gradients of the CPU kernels that work number by number or row by row: biases, gelu,
// layer_norm, embeddings.
#include <algorithm>
#include <cmath>

#include "sim/cpu/kernels.h"
#include "sim/cpu/training_kernels.h"
#include "sim/cpu/views.h"

namespace tplab::cpu {
namespace {

template <class Real>
constexpr int64_t kBytes = static_cast<int64_t>(sizeof(Real));

// Splits the columns of a [rows, C] among the lanes, a cache line at least to each, and calls
// body(first column, how many). A sum down a column is done by one lane, in the order of the rows.
template <class Real, class F>
void for_columns(Crew& crew, int64_t rows, int64_t C, F body) {
  constexpr int64_t kLine = 64 / kBytes<Real>;
  const int64_t lines = (C + kLine - 1) / kLine;
  crew.parallel_for(lines, grain_of(rows * kLine * kBytes<Real>), [&](int64_t begin, int64_t end) {
    body(begin * kLine, std::min(end * kLine, C) - begin * kLine);
  });
}

}  // namespace

template <class Real>
void sum_rows(Crew& crew, const Real* dy, int64_t rows, int64_t C, Real* db) {
  for_columns<Real>(crew, rows, C, [&](int64_t col, int64_t cols) {
    Row<Real> sum(db + col, cols);
    for (int64_t r = 0; r < rows; ++r) sum += ConstRow<Real>(dy + r * C + col, cols);
  });
}

// Past 32 a slope is 0 or 1, and powers of x may be infinite. A NaN stays.
template <class Real>
Packet<Real> where_it_bends(const Packet<Real>& x) {
  return Eigen::internal::pmax(Eigen::internal::pmin(x, all(Real(32))), all(Real(-32)));
}

// Φ(x) + x φ(x), Φ being (1 + erf(x/√2)) / 2.
template <class Real>
Packet<Real> gelu_erf_slope(Real, const Packet<Real>& any) {
  using namespace Eigen::internal;
  const Packet<Real> x = where_it_bends<Real>(any);
  const Packet<Real> density =
      pmul(exp(pmul(pmul(x, x), all(Real(-0.5)))), all(Real(0.39894228040143267794)));
  return fma(x, density, normal_cdf(Real(), x));
}

// With s = 1 / (1 + exp(-2u)): s + 2 x s (1 - s) u'.
template <class Real>
Packet<Real> gelu_tanh_slope(Real, const Packet<Real>& any) {
  using namespace Eigen::internal;
  const Packet<Real> x = where_it_bends<Real>(any);
  const Real c = Real(2 * 0.79788456080286535588);  // 2 √(2/π)
  const Packet<Real> square = pmul(x, x);
  const Packet<Real> inner = fma(square, all(Real(-c * Real(0.044715))), all(-c));  // -2u / x
  const Packet<Real> s = pdiv(all(Real(1)), padd(exp(pmul(x, inner)), all(Real(1))));
  const Packet<Real> slope = fma(square, all(Real(c * Real(3 * 0.044715))), all(c));  // 2u'
  return fma(pmul(pmul(x, slope), s), psub(all(Real(1)), s), s);
}

template <class Real>
void gelu_backward(Crew& crew, Gelu kind, const Real* x, const Real* dy, Real* dx, int64_t count) {
  constexpr int64_t kGrain = 4096;
  crew.parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    constexpr int64_t kRun = 64 * kWidth<Real>;
    Real slopes[kRun];
    for (int64_t i = begin; i < end; i += kRun) {
      const int64_t n = std::min(kRun, end - i);
      if (kind == Gelu::erf) {
        map_packets(x + i, slopes, n, [](const auto& v) { return gelu_erf_slope(Real(), v); });
      } else {
        map_packets(x + i, slopes, n, [](const auto& v) { return gelu_tanh_slope(Real(), v); });
      }
      Row<Real>(dx + i, n) = ConstRow<Real>(dy + i, n) * ConstRow<Real>(slopes, n);
    }
  });
}

// The rows are cut into pieces of this many; the sums over a piece's rows are added up in the order
// of the pieces.
constexpr int64_t kPieceRows = 16;

int64_t layer_norm_backward_scratch_count(int64_t rows, int64_t C) {
  return (rows + kPieceRows - 1) / kPieceRows * 2 * C;
}

namespace {

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

// One row of a piece; the sums over its rows so far are in dweight and dbias.
template <class Real>
void layer_norm_backward_row(const LayerNormBackward<Real>& a, int64_t r, Real* dweight,
                             Real* dbias) {
  using namespace Eigen::internal;
  const int64_t C = a.C;
  const Real *const x = a.x + r * C, *const dy = a.dy + r * C;
  Real* const dx = a.dx + r * C;
  const auto mean_of = [&](const Packet<Real>& sums) {
    return predux(sums) / static_cast<Real>(C);
  };

  Packet<Real> sum = all(Real(0)), squares = sum, gs = sum, gds = sum;
  for_registers<Real>(C, [&](int64_t i, int64_t n) { sum = padd(sum, load_first(x + i, n)); });
  const Real mean = mean_of(sum);
  const Packet<Real> means = all(mean);
  for_registers<Real>(C, [&](int64_t i, int64_t n) {
    const Packet<Real> g = pmul(load_first(dy + i, n), load_first(a.weight + i, n));
    const Packet<Real> d = psub(load_first(x + i, n, mean), means);  // 0 past the end, as g is
    squares = fma(d, d, squares);
    gs = padd(gs, g);
    gds = fma(g, d, gds);
  });
  const Real scale = Real(1) / std::sqrt(mean_of(squares) + a.eps);
  const Packet<Real> scales = all(scale), less = all(mean_of(gs));
  const Packet<Real> slope = all(mean_of(gds) * scale * scale);
  for_registers<Real>(C, [&](int64_t i, int64_t n) {
    const Packet<Real> g = load_first(dy + i, n), d = psub(load_first(x + i, n), means);
    const Packet<Real> centred = psub(pmul(g, load_first(a.weight + i, n)), less);
    store_first(dweight + i, fma(pmul(d, scales), g, load_first(dweight + i, n)), n);
    store_first(dbias + i, padd(load_first(dbias + i, n), g), n);
    store_first(dx + i, pmul(psub(centred, pmul(d, slope)), scales), n);
  });
}

}  // namespace

template <class Real>
void layer_norm_backward(Crew& crew, const LayerNormBackward<Real>& a, Real* scratch) {
  const int64_t pieces = (a.rows + kPieceRows - 1) / kPieceRows;
  for_each_task(crew, pieces, [&](int64_t piece, int64_t) {
    Real *const dweight = scratch + piece * 2 * a.C, *const dbias = dweight + a.C;
    std::fill_n(dweight, 2 * a.C, Real(0));
    const int64_t end = std::min((piece + 1) * kPieceRows, a.rows);
    for (int64_t r = piece * kPieceRows; r < end; ++r) {
      layer_norm_backward_row(a, r, dweight, dbias);
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

template <class Real>
void embedding_backward(Crew& crew, std::span<const int32_t> ids, const Real* dy, int64_t first_row,
                        Real* dtable, int64_t table_rows, int64_t C) {
  const auto count = static_cast<int64_t>(ids.size());
  for_columns<Real>(crew, count, C, [&](int64_t col, int64_t cols) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = ids[static_cast<size_t>(i)] - first_row;
      if (row < 0 || row >= table_rows) continue;
      Row<Real>(dtable + row * C + col, cols) += ConstRow<Real>(dy + i * C + col, cols);
    }
  });
}

template void sum_rows(Crew&, const float*, int64_t, int64_t, float*);
template void gelu_backward(Crew&, Gelu, const float*, const float*, float*, int64_t);
template void layer_norm_backward(Crew&, const LayerNormBackward<float>&, float*);
template void embedding_backward(Crew&, std::span<const int32_t>, const float*, int64_t, float*,
                                 int64_t, int64_t);

template void sum_rows(Crew&, const double*, int64_t, int64_t, double*);
template void gelu_backward(Crew&, Gelu, const double*, const double*, double*, int64_t);
template void layer_norm_backward(Crew&, const LayerNormBackward<double>&, double*);
template void embedding_backward(Crew&, std::span<const int32_t>, const double*, int64_t, double*,
                                 int64_t, int64_t);

}  // namespace tplab::cpu
