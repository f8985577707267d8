// A part of a matrix, and where its numbers lie in the whole.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "sim/shape.h"

namespace tplab {

struct Range {
  int64_t begin = 0, end = 0;  // [begin, end)
  int64_t size() const { return end - begin; }
  bool operator==(const Range&) const = default;
};

// A part of a parameter seen as a matrix [rows, cols] (a vector [n] is [n, 1]): some ranges of
// rows, in the order they are wanted, and one range of columns.
struct Slice {
  std::vector<Range> rows;
  Range cols;
  int64_t row_count() const {
    int64_t count = 0;
    for (const Range& range : rows) count += range.size();
    return count;
  }
  int64_t count() const { return row_count() * cols.size(); }
};

// The columns of a parameter seen so.
inline int64_t cols_of(const Shape& shape) { return shape.dims() == 2 ? shape[1] : 1; }

// Whether the slice lies within a matrix [n_rows, n_cols].
inline bool is_within(const Slice& slice, int64_t n_rows, int64_t n_cols) {
  const auto within = [](const Range& range, int64_t size) {
    return range.begin >= 0 && range.begin <= range.end && range.end <= size;
  };
  return within(slice.cols, n_cols) &&
         std::all_of(slice.rows.begin(), slice.rows.end(),
                     [&](const Range& rows) { return within(rows, n_rows); });
}

// Numbers [begin, end) of the slice, seen as one row-major list, lie in stretches of a matrix
// [rows, n_cols]. Calls f(place in the matrix, place in the list, count) for each, in order: one
// for each range of whole rows, else one for each row.
template <class F>
void for_each_run(const Slice& slice, int64_t n_cols, int64_t begin, int64_t end, F&& f) {
  const int64_t width = slice.cols.size();
  if (width <= 0) return;
  int64_t listed = 0;  // of the ranges before this one
  for (const Range& rows : slice.rows) {
    const int64_t run = width == n_cols ? rows.size() * width : width;
    const int64_t after = std::min(listed + rows.size() * width, end);
    int64_t at = std::max(listed, begin);
    while (at < after) {
      const int64_t row = rows.begin + (at - listed) / width, col = (at - listed) % width;
      const int64_t left = run - (at - listed) % run;
      const int64_t count = std::min(left, after - at);
      f(row * n_cols + slice.cols.begin + col, at, count);
      at += count;
    }
    listed += rows.size() * width;
  }
}

}  // namespace tplab
