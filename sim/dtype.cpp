#include "sim/dtype.h"

#include <fmt/format.h>

#include "sim/error.h"

namespace tplab {

DType parse_dtype(std::string_view text) {
  if (text == "f32") return DType::f32;
  if (text == "f64") return DType::f64;
  if (text == "bf16") return DType::bf16;
  fail(fmt::format("unknown dtype '{}'", text), "use f32, f64 or bf16");
}

}  // namespace tplab
