#include "model/weights.h"

namespace tplab {

int64_t Slice::row_count() const {
  int64_t count = 0;
  for (const Range& range : rows) count += range.size();
  return count;
}

}  // namespace tplab
