// Derivatives by central differences, with how far off they may be: the judge of a backward.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "verify/compare.h"

namespace tplab::testing {

struct Derivative {
  std::vector<double> values;  // d f / d x[i]
  double bound = 0;            // on the error of each
};

// The derivative of f(x) = sum over j of weights[j] y[j](x) with respect to each x[i]. Elements of
// y that are the same on both sides, as -inf is, count as constant.
//
// D(h) = (f(x + h) - f(x - h)) / 2h differs from f' by
// - truncation, h^2/6 f''' and terms of h^4. It is measured: D(2h) - D(h) = h^2/2 f''' is three
//   times as much, which leaves room for the terms of h^4. The largest over all i is taken, so that
//   one that happens to be small excuses nothing.
// - rounding: no y[j] here comes of more than kRoundings operations in a row, so that each f is
//   off by at most kRoundings u S, S = sum of |weights[j] y[j]|, and D(h) by that over h.
inline Derivative differentiate(
    const std::function<std::vector<double>(const std::vector<double>&)>& y, std::vector<double> x,
    const std::vector<double>& weights) {
  constexpr double h = 0x1p-14, kRoundings = 1000, u = 0x1p-53;
  const auto central = [&](double& at, double step) {
    const double middle = at;
    at = middle + step;
    const std::vector<double> above = y(x);
    at = middle - step;
    const std::vector<double> below = y(x);
    at = middle;
    double sum = 0;
    for (size_t j = 0; j < weights.size(); ++j)
      if (above[j] != below[j]) sum += weights[j] * (above[j] - below[j]);
    return sum / (2 * step);
  };
  Derivative d;
  double truncation = 0, size = 0;
  for (double& at : x) {
    d.values.push_back(central(at, h));
    truncation = std::max(truncation, std::abs(central(at, 2 * h) - d.values.back()));
  }
  const std::vector<double> here = y(x);
  for (size_t j = 0; j < weights.size(); ++j)
    if (std::isfinite(here[j])) size += std::abs(weights[j] * here[j]);
  d.bound = truncation + kRoundings * u * size / h;
  return d;
}

// Whether a gradient is the derivative, as far as the differences can tell; false for a NaN.
inline bool agrees(const std::vector<double>& gradient, const Derivative& expected) {
  if (gradient.size() != expected.values.size()) return false;
  const auto count = static_cast<int64_t>(gradient.size());
  return compare(gradient, expected.values, {count}).max_abs <= expected.bound;
}

}  // namespace tplab::testing
