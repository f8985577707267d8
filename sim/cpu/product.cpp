// Matrix products: a tile of the result in registers; of the operands only b is copied, and only
// where it is transposed or reading it in place would miss the caches.
//
// source: Goto and van de Geijn 2008, without most of the packing
#include "sim/cpu/product.h"

#include <algorithm>
#include <type_traits>

#include "sim/cpu/tasks.h"
#include "sim/cpu/transpose.h"

namespace tplab::cpu {
namespace {

// The tile of c that stays in registers: kTileRows rows of kTileVectors registers. Of 32 registers
// 24 hold sums, 4 a row of b and 1 a number of a.
constexpr int kTileRows = 6;
constexpr int kTileVectors = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS >= 32 ? 4 : 2;
template <class Real>
constexpr int64_t kTileCols = kTileVectors* kWidth<Real>;

// A piece of the depth: b's part of a tile then fits the first-level cache or nearly.
template <class Real>
constexpr int64_t kDepth = 1024 / kBytes<Real>;

template <class Real>
struct Tile {
  const Real *a, *b;
  int64_t a_row, a_depth, b_depth, depth;
  Real* c;
  int64_t c_row;
  bool add;
};

using Adjacent = std::integral_constant<int64_t, 1>;
constexpr int64_t kAhead = 16;  // steps of the depth that take as long as a read past the caches

// a_row: t.a_row, as a constant where that is 1. Then every step reads another row of a's memory,
// which is what prefetchers do not see.
template <class Real, int Rows, int Vectors, class Step>
void multiply_tile(const Tile<Real>& t, Step a_row) {
  Packet<Real> sums[Rows][Vectors];
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) {
      sums[r][v] = all(Real(0));
      if (t.add) Eigen::internal::prefetch(t.c + r * t.c_row + v * kWidth<Real>);
    }
  }
  const Real *a = t.a, *b = t.b;
  for (int64_t d = 0; d < t.depth; ++d, a += t.a_depth, b += t.b_depth) {
    if constexpr (std::is_same_v<Step, Adjacent>) Eigen::internal::prefetch(a + kAhead * t.a_depth);
    Packet<Real> row[Vectors];
    for (int v = 0; v < Vectors; ++v) row[v] = load(b + v * kWidth<Real>);
    for (int r = 0; r < Rows; ++r) {
      const Packet<Real> left = all(a[r * a_row]);
      for (int v = 0; v < Vectors; ++v) sums[r][v] = fma(left, row[v], sums[r][v]);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) {
      Real* const to = t.c + r * t.c_row + v * kWidth<Real>;
      store(to, t.add ? Eigen::internal::padd(load(to), sums[r][v]) : sums[r][v]);
    }
  }
}

// multiply_tile for rows <= Rows and vectors <= Vectors.
template <class Real, int Rows = kTileRows, int Vectors = kTileVectors>
void multiply_up_to(int64_t rows, int64_t vectors, const Tile<Real>& t) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return multiply_up_to<Real, Rows - 1, Vectors>(rows, vectors, t);
  }
  if constexpr (Vectors > 1) {
    if (vectors < Vectors) return multiply_up_to<Real, Rows, Vectors - 1>(rows, vectors, t);
  }
  if (t.a_row == 1) {
    multiply_tile<Real, Rows, Vectors>(t, Adjacent());
  } else {
    multiply_tile<Real, Rows, Vectors>(t, t.a_row);
  }
}

// The same where c has fewer columns than its registers.
template <class Real>
void multiply_narrow(int64_t rows, int64_t cols, int64_t vectors, Tile<Real> t) {
  Real whole[kTileRows * kTileCols<Real>];
  Real* const c = t.c;
  const int64_t c_row = t.c_row;
  const bool add = t.add;
  t.c = whole;
  t.c_row = kTileCols<Real>;
  t.add = false;
  multiply_up_to(rows, vectors, t);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < cols; ++j) {
      const Real sum = whole[r * kTileCols<Real> + j];
      c[r * c_row + j] = add ? c[r * c_row + j] + sum : sum;
    }
  }
}

// b's columns [0, cols) as rows of kTileCols, the last register filled up with zeros: c has no
// place for what comes of them, but what lies in memory might be denormal, and slow.
template <class Real>
void copy_columns(const Product<Real>& p, const Real* b, int64_t depth, int64_t cols, Real* to) {
  if (p.b_col != 1) {
    transpose(b, p.b_col, depth, cols, to, kTileCols<Real>);
  } else {
    for (int64_t d = 0; d < depth; ++d) {
      std::copy_n(b + d * p.b_depth, cols, to + d * kTileCols<Real>);
    }
  }
  const int64_t filled = (cols + kWidth<Real> - 1) / kWidth<Real> * kWidth<Real>;
  for (int64_t d = 0; filled > cols && d < depth; ++d) {
    std::fill(to + d * kTileCols<Real> + cols, to + d * kTileCols<Real> + filled, Real(0));
  }
}

// Rows that lie 4 KiB or more apart share few sets of a cache, and each is on a page of its own:
// copied where enough rows of a read them.
template <class Real>
bool worth_copying(const Product<Real>& p) {
  constexpr int64_t kApartBytes = 4096, kManyRows = 96;
  return p.b_depth * kBytes<Real> >= kApartBytes && p.rows >= kManyRows;
}

}  // namespace

template <class Real>
void multiply(const Product<Real>& p) {
  constexpr int64_t kCols = kTileCols<Real>, kW = kWidth<Real>;
  alignas(64) Real columns[kDepth<Real> * kCols];
  for (int64_t first = 0; first < p.depth; first += kDepth<Real>) {
    const int64_t depth = std::min(kDepth<Real>, p.depth - first);
    for (int64_t col = 0; col < p.cols; col += kCols) {
      const int64_t cols = std::min(kCols, p.cols - col), vectors = (cols + kW - 1) / kW;
      const Real* const b = p.b + first * p.b_depth + col * p.b_col;
      const bool copy_b = p.b_col != 1 || cols % kW != 0 || worth_copying(p);
      if (copy_b) copy_columns(p, b, depth, cols, columns);
      for (int64_t row = 0; row < p.rows; row += kTileRows) {
        const int64_t rows = std::min<int64_t>(kTileRows, p.rows - row);
        const Tile<Real> tile{.a = p.a + row * p.a_row + first * p.a_depth,
                              .b = copy_b ? columns : b,
                              .a_row = p.a_row,
                              .a_depth = p.a_depth,
                              .b_depth = copy_b ? kCols : p.b_depth,
                              .depth = depth,
                              .c = p.c + row * p.c_row + col,
                              .c_row = p.c_row,
                              .add = p.add || first > 0};
        if (cols % kW == 0) {
          multiply_up_to(rows, vectors, tile);
        } else {
          multiply_narrow(rows, cols, vectors, tile);
        }
      }
    }
  }
}

namespace {

int64_t rounded_up(int64_t size, int64_t unit) { return (size + unit - 1) / unit * unit; }
int64_t pieces_of(int64_t size, int64_t length) { return (size + length - 1) / length; }

// Cuts `size` into equal pieces of about `wanted`, each a multiple of `unit`. Returns their length.
int64_t piece(int64_t size, int64_t wanted, int64_t unit) {
  const int64_t pieces = std::max<int64_t>(1, (size + wanted / 2) / wanted);
  return rounded_up((size + pieces - 1) / pieces, unit);
}

}  // namespace

template <class Real>
void multiply(Crew& crew, const Product<Real>& p, const Real* bias) {
  if (p.rows == 0 || p.cols == 0) return;
  // Tiles as large as a core's own cache likes, then cut until the lanes can share them out.
  constexpr int64_t kRows = 192, kEnoughTasks = 6, kLeastRows = 48, kCols = kTileCols<Real>;
  const bool transposed = p.b_col != 1;  // then b is copied, for as many rows as possible
  int64_t tile_rows = piece(p.rows, transposed ? 2 * kRows : kRows, kTileRows);
  int64_t tile_cols = piece(p.cols, 6 * kCols, kCols);
  const auto tasks = [&] { return pieces_of(p.rows, tile_rows) * pieces_of(p.cols, tile_cols); };
  while (tasks() < kEnoughTasks && (tile_cols > kCols || tile_rows > kLeastRows)) {
    if (tile_cols > kCols && (transposed || tile_cols >= tile_rows || tile_rows <= kLeastRows)) {
      tile_cols = rounded_up(tile_cols / 2, kCols);
    } else {
      tile_rows = rounded_up(tile_rows / 2, kTileRows);
    }
  }
  const int64_t across = pieces_of(p.cols, tile_cols);
  for_each_task(crew, tasks(), [&](int64_t task, int64_t) {  // neighbours share rows of a and c
    const int64_t row = task / across * tile_rows, col = task % across * tile_cols;
    Product<Real> tile = p;
    tile.rows = std::min(tile_rows, p.rows - row);
    tile.cols = std::min(tile_cols, p.cols - col);
    tile.a += row * p.a_row;
    tile.b += col * p.b_col;
    tile.c += row * p.c_row + col;
    for (int64_t r = 0; bias && r < tile.rows; ++r) {
      std::copy_n(bias + col, tile.cols, tile.c + r * p.c_row);
    }
    tile.add = p.add || bias;
    multiply(tile);
  });
}

template void multiply(const Product<float>&);
template void multiply(const Product<double>&);
template void multiply(Crew&, const Product<float>&, const float*);
template void multiply(Crew&, const Product<double>&, const double*);

}  // namespace tplab::cpu
