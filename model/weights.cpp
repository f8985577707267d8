#include "model/weights.h"

#include <fmt/format.h>

#include <utility>

namespace tplab {

std::string WeightSource::place(std::string_view parameter, int64_t row, int64_t col) const {
  for (const NamedTensor& p : named_tensors(config()))
    if (p.name == parameter && p.shape.dims() == 1) return fmt::format("{}[{}]", parameter, row);
  return fmt::format("{}[{}, {}]", parameter, row, col);
}

UnevenParts::UnevenParts(std::shared_ptr<const WeightSource> source)
    : source_(std::move(source)), config_(source_->config()) {
  config_.uneven = true;
}

}  // namespace tplab
