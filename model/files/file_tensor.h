// A tensor in a file: where its numbers are, and how they lie there.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "model/files/bytes.h"
#include "model/files/stored.h"
#include "sim/shape.h"

namespace tplab {

struct FileTensor {
  std::string name;  // as in the file
  std::shared_ptr<const ByteSource> bytes;
  int64_t offset = 0;  // of its first byte
  StoredType type = StoredType::f32;
  Shape shape;                        // as in the file
  bool is_transposed = false;         // the file has [in, out] where the parameter is [out, in]
  bool bytes_are_transposed = false;  // of shape [rows, cols], the file has the columns one by one
};

// Whether two tensors hold the same bytes in the same format and shape. Stops at the first
// difference.
bool are_equal(const FileTensor& a, const FileTensor& b);

}  // namespace tplab
