// Comparing two arrays so that nothing wrong, NaN included, passes for right.
#include "verify/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/error.h"

namespace tplab {

Difference compare(std::span<const double> got, std::span<const double> expected,
                   const Shape& shape, double bound) {
  const auto count = static_cast<size_t>(shape.count());
  if (got.size() != count || expected.size() != count)
    fail(fmt::format("cannot compare {} numbers with {}: the shape {} has {}", got.size(),
                     expected.size(), shape.text(), count),
         "give two arrays of the same shape");

  Difference d;
  double error_squared = 0, expected_squared = 0;
  for (size_t i = 0; i < count; ++i) {
    const double a = got[i], b = expected[i];
    const double error = a == b ? 0 : std::abs(a - b);  // equal infinities have no difference
    if (std::isfinite(b)) {
      d.largest_expected = std::max(d.largest_expected, std::abs(b));
      expected_squared += b * b;
    }
    error_squared += error * error;
    const auto index = static_cast<int64_t>(i);
    if (!(error <= bound) && d.first_bad_index < 0) d.first_bad_index = index;
    if (!d.has_nan && (d.worst_index < 0 || !(error <= d.max_abs))) {
      d.max_abs = error;
      d.worst_index = index;
    }
    d.has_nan = d.has_nan || std::isnan(error);
  }
  d.max_rel = d.max_abs == 0 ? 0 : d.max_abs / d.largest_expected;
  d.rms_rel = error_squared == 0 ? 0 : std::sqrt(error_squared / expected_squared);
  if (d.worst_index < 0) return d;
  d.position = coordinates(d.worst_index, shape);
  d.got = got[static_cast<size_t>(d.worst_index)];
  d.expected = expected[static_cast<size_t>(d.worst_index)];
  return d;
}

std::string Difference::describe() const {
  const std::string place = show_position(position);
  if (std::isnan(got) && std::isnan(expected))
    return fmt::format("not a number, first at {}, and in the reference too", place);
  const auto [ours, theirs] = told_apart(got, expected);
  return fmt::format("{} at {}: {} where {} was expected",
                     has_nan ? "not a number, first" : fmt::format("largest error {:.3g}", max_abs),
                     place, ours, theirs);
}

std::pair<std::string, std::string> told_apart(double a, double b) {
  constexpr int kFewest = 9, kExact = 17;  // of these no two doubles share
  for (int digits = kFewest;; ++digits) {
    std::pair texts{fmt::format("{:.{}g}", a, digits), fmt::format("{:.{}g}", b, digits)};
    if (texts.first != texts.second || digits == kExact) return texts;
  }
}

std::vector<int64_t> coordinates(int64_t index, const Shape& shape) {
  std::vector<int64_t> position(static_cast<size_t>(shape.dims()));
  for (int axis = shape.dims(); axis-- > 0; index /= shape[axis])
    position[static_cast<size_t>(axis)] = index % shape[axis];
  return position;
}

std::string show_position(const std::vector<int64_t>& position) {
  std::string text;
  for (const int64_t p : position) text += fmt::format("{}{}", text.empty() ? "" : ", ", p);
  return "[" + text + "]";
}

}  // namespace tplab
