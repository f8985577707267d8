// The vectorised functions against the C library's in double, on dense grids.
#include <catch2/catch.hpp>
#include <limits>
#include <vector>

#include "sim/cpu/math.h"

namespace tplab::cpu {
namespace {

// |got - exact| in units of the last place of the exact result's float.
double ulps(float got, double exact) {
  const auto rounded = static_cast<float>(exact);
  const float next = std::nextafter(std::abs(rounded), std::numeric_limits<float>::infinity());
  return std::abs(static_cast<double>(got) - exact) / static_cast<double>(next - std::abs(rounded));
}

template <class F, class G>
double worst_ulps(float from, float to, F f, G exact) {
  std::vector<float> x;
  constexpr int kPoints = 200000;
  for (int i = 0; i <= kPoints; ++i) {
    x.push_back(from + (to - from) * static_cast<float>(i) / static_cast<float>(kPoints));
  }
  std::vector<float> y(x.size());
  map_packets(x.data(), y.data(), static_cast<int64_t>(x.size()), f);
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double error = ulps(y[i], exact(static_cast<double>(x[i])));
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

TEST_CASE("erf_float: within 1.5 units in the last place") {
  const auto f = [](const auto& v) { return erf_float(v); };
  const auto exact = [](double x) { return std::erf(x); };
  CHECK(worst_ulps(-6, 6, f, exact) <= 1.5);
  CHECK(worst_ulps(0.99f, 1.01f, f, exact) <= 1.5);
  CHECK(worst_ulps(-1e-3f, 1e-3f, f, exact) <= 1.5);
}

TEST_CASE("exp: within 2 units in the last place near 0, 5 over the whole range") {
  const auto f = [](const auto& v) { return exp(v); };
  CHECK(worst_ulps(-80, 80, f, [](double x) { return std::exp(x); }) <= 5);
  CHECK(worst_ulps(-1, 0, f, [](double x) { return std::exp(x); }) <= 2);
}

TEST_CASE("erf_float and exp: NaN stays NaN, infinities go where they should") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> x(19, 0.5f), y(19);  // full registers and a rest
  x[1] = x[18] = nan;
  x[2] = -inf;
  x[3] = inf;
  map_packets(x.data(), y.data(), 19, [](const auto& v) { return erf_float(v); });
  CHECK((std::isnan(y[1]) && std::isnan(y[18])));
  CHECK((y[2] == -1 && y[3] == 1));
  CHECK(y[0] == y[17]);  // the same bits in a full register and in the rest
  map_packets(x.data(), y.data(), 19, [](const auto& v) { return exp(v); });
  CHECK((std::isnan(y[1]) && std::isnan(y[18])));
  CHECK(y[2] < 1e-37f);
  CHECK(y[0] == y[17]);
}

}  // namespace
}  // namespace tplab::cpu
