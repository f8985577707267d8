// How far two arrays are apart and where, and what the shape of the error says about its cause.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/shape.h"

namespace tplab {

struct Difference {
  double max_abs = 0;             // max |got - expected|
  double max_rel = 0;             // the same over largest_expected
  double rms_rel = 0;             // |got - expected| / |expected|, 2-norms
  double largest_expected = 0;    // max |expected|, infinities left out
  int64_t first_bad_index = -1;   // the first element further off than the bound, or -1
  int64_t worst_index = -1;       // the first NaN's, or else the largest error's
  std::vector<int64_t> position;  // worst_index as coordinates
  double got = 0, expected = 0;   // the two values there
  bool has_nan = false;           // in either array

  // "largest error 1.2e-05 at [0, 3, 7]: 0.25 where 0.250012 was expected"
  std::string describe() const;
};

// Both numbers, with as many digits as it takes to tell them apart, but 9 at least where they have
// them.
std::pair<std::string, std::string> told_apart(double a, double b);

// Measures got against expected, whose shape both have. Equal infinities differ by nothing; a NaN
// on either side, or on both, makes max_abs, max_rel and rms_rel NaN, and an infinity against
// anything else makes them infinite, so that `!(max_abs <= bound)` fails. bound is absolute.
// Throws Error(usage) when the sizes are not the shape's.
Difference compare(std::span<const double> got, std::span<const double> expected,
                   const Shape& shape, double bound = 0);

// What is known about a result that is wrong. The views must outlive the call.
struct Evidence {
  std::span<const double> got, expected;
  Shape shape;
  int64_t tp = 1;
  double bound = 0;     // absolute: what rounding alone may do
  int shard_axis = -1;  // the dimension the ranks share out; -1 is the last
  // What each is, where it is known, all [shape] except the bias, which is [shape.back()]:
  std::span<const double> bias = {};                   // added once to every row
  std::vector<std::span<const double>> partials = {};  // each rank's term of the sum, without bias
  std::vector<std::span<const double>> replicas = {};  // each rank's copy of the result
};

// The likely cause, a sentence: "off by exactly (tp-1) = 3 times the bias: it is added on every
// rank; add it once, after the all-reduce"; "no known pattern: ..." where nothing fits.
// Throws Error(usage) when a size is not the shape's.
std::string guess_cause(const Evidence& evidence);

// [0, 3, 7]
std::vector<int64_t> coordinates(int64_t index, const Shape& shape);
std::string show_position(const std::vector<int64_t>& position);

}  // namespace tplab
