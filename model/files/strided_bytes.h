// A view of a matrix in a file, transposed, cut out or expanded, as the bytes of a contiguous one.
#pragma once

#include <cstdint>
#include <memory>

#include "model/files/bytes.h"

namespace tplab {

// Element [r, c] lies `r * row_stride + c * col_stride` elements after `offset`. Strides are not
// negative; 0 repeats.
struct StridedView {
  std::shared_ptr<const ByteSource> bytes;
  int64_t offset;  // of element [0, 0], in bytes
  int64_t item_bytes;
  int64_t rows, cols, row_stride, col_stride;
};

// Row-major, rows * cols * item_bytes of them; gathered when they are read, staging at most 1 MiB.
//   REQUIRES: the last element lies within view.bytes, and the product fits an int64_t.
std::shared_ptr<const ByteSource> strided_bytes(const StridedView& view);

}  // namespace tplab
