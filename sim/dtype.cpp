#include "sim/dtype.h"

#include <fmt/format.h>

#include "sim/error.h"

namespace tplab {

DType parse_dtype(std::string_view text) {
  if (text == "f32") return DType::f32;
  if (text == "f64") return DType::f64;
  fail(fmt::format("unknown dtype '{}'", text), "use f32 or f64");
}

}  // namespace tplab
