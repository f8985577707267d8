#include "model/weights.h"

#include <utility>

namespace tplab {

int64_t Slice::row_count() const {
  int64_t count = 0;
  for (const Range& range : rows) count += range.size();
  return count;
}

UnevenParts::UnevenParts(std::shared_ptr<const WeightSource> source)
    : source_(std::move(source)), config_(source_->config()) {
  config_.uneven = true;
}

}  // namespace tplab
