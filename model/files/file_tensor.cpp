#include "model/files/file_tensor.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace tplab {

bool are_equal(const FileTensor& a, const FileTensor& b) {
  if (a.type != b.type || a.shape != b.shape || a.bytes_are_transposed != b.bytes_are_transposed)
    return false;
  if (a.bytes == b.bytes && a.offset == b.offset) return true;
  // Both lie in files, so this cannot overflow.
  int64_t left = row_of(a.type).size_bytes * a.shape.count();
  constexpr int64_t kBlock = 1 << 18;
  std::vector<char> block_a(static_cast<size_t>(std::min(left, kBlock))), block_b(block_a);
  for (int64_t at = 0; left > 0;) {
    const int64_t count = std::min(left, kBlock);
    a.bytes->read(a.offset + at, block_a.data(), count);
    b.bytes->read(b.offset + at, block_b.data(), count);
    if (std::memcmp(block_a.data(), block_b.data(), static_cast<size_t>(count)) != 0) return false;
    at += count;
    left -= count;
  }
  return true;
}

}  // namespace tplab
