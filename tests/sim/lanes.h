// Runs an operation on several numbers of lanes.
#pragma once

#include <catch2/catch.hpp>

#include "tests/sim/numbers.h"

namespace tplab {

// Runs make(device) on 1, 2 and 3 lanes; the results must have the same bits. Returns the first.
template <class F>
auto same_on_all_lanes(F make) {
  decltype(make(std::declval<Device&>())) first{};
  for (const int lanes : {1, 2, 3}) {
    Team team(lanes);
    const auto device = make_cpu_device(team.crew());
    const auto result = make(*device);
    if (lanes == 1) first = result;
    CHECK(same_bits(result, first));
  }
  return first;
}

// The derivative of f at x along a direction that has no zeros, by central differences, beside the
// inner product of that direction with dx, which should equal it:
//   (f(x + h d) - f(x - h d)) / 2h = f'(x) d + h² f'''/6 + a rounding error of u |f| / h.
// With h = 1e-5 and functions whose derivatives are of the size of their values, both errors are
// below 1e-9 of `size`, the sum of the absolute values of what f adds up.
template <class F>
void check_derivative(Array& x, const Array& dx, F f) {
  constexpr double kStep = 1e-5;
  const auto direction = [](int64_t i) { return number_at(i, 77); };
  const std::vector<double> old(x.as<double>(), x.as<double>() + x.count());
  const auto at = [&](double h) {
    for (int64_t i = 0; i < x.count(); ++i) {
      x.as<double>()[i] = old[static_cast<size_t>(i)] + h * direction(i);
    }
    return f();
  };
  const auto [above, size] = at(kStep);
  const double below = at(-kStep).first;
  at(0);
  double expected = 0, terms = 0;
  for (int64_t i = 0; i < x.count(); ++i) {
    expected += dx.as<double>()[i] * direction(i);
    terms += std::abs(dx.as<double>()[i] * direction(i));
  }
  CHECK(within((above - below) / (2 * kStep), Exact(expected), 1e-9 * (size + terms)));
}

// Σ y[i] weights[i] and Σ |y[i] weights[i]|: a loss whose gradient with respect to y is `weights`.
inline std::pair<double, double> weighted_sum(const Array& y, const Array& weights) {
  double sum = 0, size = 0;
  for (int64_t i = 0; i < y.count(); ++i) {
    sum += y.as<double>()[i] * weights.as<double>()[i];
    size += std::abs(y.as<double>()[i] * weights.as<double>()[i]);
  }
  return {sum, size};
}

}  // namespace tplab
