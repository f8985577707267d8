#include "model/weights.h"

#include <fmt/format.h>

namespace tplab {

std::string WeightSource::place(std::string_view parameter, int64_t row, int64_t col) const {
  for (const NamedTensor& p : named_tensors(architecture()))
    if (p.name == parameter && p.shape.dims() == 1) return fmt::format("{}[{}]", parameter, row);
  return fmt::format("{}[{}, {}]", parameter, row, col);
}

}  // namespace tplab
