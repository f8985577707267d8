#include "model/finite.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/error.h"

namespace tplab {

namespace {

// A number a little larger than bf16's largest, which would be rounded down to it, counts as too
// large.
double largest_of(DType dtype) {
  if (dtype == DType::bf16) return 0x1.FEp127;
  return dtype == DType::f32 ? std::numeric_limits<float>::max()
                             : std::numeric_limits<double>::max();
}

[[noreturn]] void refuse(const WeightSource& source, const std::string& place, double value,
                         DType dtype) {
  const std::string what = fmt::format("{}: {} is ", source.description(), place);
  if (std::isfinite(value) && std::abs(value) <= largest_of(dtype))
    throw Error(ErrorKind::bad_file, what + fmt::format("{:.6g}, and none may be below 0", value),
                "the file is corrupt: copy it again");
  if (std::isfinite(value))
    throw Error(ErrorKind::bad_file,
                what + fmt::format("{:.6g}, more than {} can hold", value, name(dtype)),
                "use --dtype f64");
  throw Error(ErrorKind::bad_file,
              what + (std::isnan(value) ? "NaN, not a number"
                      : value > 0       ? "inf"
                                        : "-inf"),
              "nothing that such a network computes is a number: use a checkpoint from before "
              "this, or save the weights again");
}

// Whose values are `least` at least, and what `dtype` holds.
void require_within(const WeightSource& source, double least, DType dtype) {
  const double largest = largest_of(dtype);
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
      refuse(source, source.place(p.name, row + at / cols, at % cols), *bad, dtype);
    }
  }
}

}  // namespace

void require_finite(const WeightSource& source, DType dtype) {
  require_within(source, -largest_of(dtype), dtype);
}

void require_finite_from_zero(const WeightSource& source, DType dtype) {
  require_within(source, 0, dtype);
}

}  // namespace tplab
