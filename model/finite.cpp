#include "model/finite.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/error.h"

namespace tplab {

namespace {

[[noreturn]] void refuse(const WeightSource& source, const std::string& place, double value) {
  const std::string what = fmt::format("{}: {} is ", source.description(), place);
  if (std::isfinite(value) && std::abs(value) <= std::numeric_limits<float>::max())
    throw Error(ErrorKind::bad_file, what + fmt::format("{:.6g}, and none may be below 0", value),
                "the file is corrupt: copy it again");
  if (std::isfinite(value))
    throw Error(ErrorKind::bad_file, what + fmt::format("{:.6g}, more than f32 can hold", value),
                "use --dtype f64");
  throw Error(ErrorKind::bad_file,
              what + (std::isnan(value) ? "NaN, not a number"
                      : value > 0       ? "inf"
                                        : "-inf"),
              "nothing that such a network computes is a number: use a checkpoint from before "
              "this, or save the weights again");
}

// Whose values are from `least` to `largest`.
void require_within(const WeightSource& source, double least, double largest) {
  constexpr int64_t kMostValues = int64_t{1} << 20;
  std::vector<double> values;
  for (const NamedTensor& p : named_tensors(source.architecture())) {
    const int64_t rows = p.shape[0], cols = cols_of(p.shape);
    const int64_t rows_at_once = std::max<int64_t>(1, kMostValues / cols);
    for (int64_t row = 0; row < rows; row += rows_at_once) {
      const Slice part{{{row, std::min(rows, row + rows_at_once)}}, {0, cols}};
      values.resize(static_cast<size_t>(part.count()));
      source.read(p.name, part, {DType::f64, values.data(), part.count()});
      const auto bad = std::find_if(values.begin(), values.end(), [&](double v) {
        return !(v >= least && v <= largest);  // true for NaN
      });
      if (bad == values.end()) continue;
      const int64_t at = bad - values.begin();
      refuse(source, source.place(p.name, row + at / cols, at % cols), *bad);
    }
  }
}

// What is larger, by less than half of what is between it and the one before, is rounded to it too:
// they are few, and refused.
constexpr float kLargestBf16 = 0x1.FEp127f;

double largest_of(DType dtype) {
  if (dtype == DType::bf16) return static_cast<double>(kLargestBf16);
  return dtype == DType::f32 ? std::numeric_limits<float>::max()
                             : std::numeric_limits<double>::max();
}

}  // namespace

void require_finite(const WeightSource& source, DType dtype) {
  require_within(source, -largest_of(dtype), largest_of(dtype));
}

void require_finite_from_zero(const WeightSource& source, DType dtype) {
  require_within(source, 0, largest_of(dtype));
}

}  // namespace tplab
