// Rotary positions on the CPU against a plain loop.
#include <catch2/catch.hpp>

#include "tests/sim/lanes.h"

namespace tplab {
namespace {

struct RotarySizes {
  int64_t B, T, heads, W, D, R;  // W: features of a position
};

// y of the formula. Two products and their sum: |error| <= γ_2 (|x_i cos| + |x_j sin|).
template <class Real>
int64_t wrong_turned(const RotarySizes& s, const Array& x, const Array& table,
                     const std::vector<int32_t>& past, bool inverse, const Array& y) {
  const auto at = [&](int64_t i) { return static_cast<Exact>(x.as<Real>()[i]); };
  int64_t wrong = 0;
  for (int64_t i = 0; i < x.count(); ++i) {
    const int64_t row = i / s.W, c = i % s.W, feature = c % s.D;
    Exact exact = at(i);
    double bound = 0;
    if (c / s.D < s.heads && feature < s.R) {
      const int64_t position = past[static_cast<size_t>(row / s.T)] + row % s.T;
      const int64_t pair = feature % (s.R / 2);
      const bool second = feature >= s.R / 2;
      const Real* const angles = table.as<Real>() + position * s.R;
      const Exact cos = angles[pair], sin = angles[s.R / 2 + pair];
      const Exact other = second ? at(i - s.R / 2) : -at(i + s.R / 2);
      exact = at(i) * cos + other * (inverse ? -sin : sin);
      bound =
          gamma_of<Real>(2) * static_cast<double>(std::abs(at(i) * cos) + std::abs(other * sin));
    }
    wrong += !within(static_cast<double>(y.as<Real>()[i]), exact, bound);
  }
  return wrong;
}

template <class Real>
void check_rotary(const RotarySizes& s, bool inverse, const std::vector<int32_t>& past) {
  INFO("T " << s.T << " heads " << s.heads << " D " << s.D << " R " << s.R);
  Array x, table;
  const Array y = same_on_all_lanes([&](Device& device) {
    x = numbers<Real>(device, Shape{s.B, s.T, s.W}, 1);
    table = numbers<Real>(device, Shape{s.T + 7, s.R}, 2);
    const op::Past filled{ids_of(device, past), 7};
    Array out = device.allocate(x.dtype(), x.shape());
    device.run(op::Rotary{x, table, s.heads, s.D, inverse, filled, out});
    Array in_place = numbers<Real>(device, Shape{s.B, s.T, s.W}, 1);
    device.run(op::Rotary{in_place, table, s.heads, s.D, inverse, filled, in_place});
    CHECK(same_bits(in_place, out));
    return out;
  });
  CHECK(wrong_turned<Real>(s, x, table, past, inverse, y) == 0);
}

}  // namespace

TEMPLATE_TEST_CASE(
    "rotary: turns pairs half of the turned features apart, at each sequence's place", "", float,
    double) {
  for (const bool inverse : {false, true}) {
    check_rotary<TestType>({1, 1, 1, 2, 2, 2}, inverse, {0});
    check_rotary<TestType>({2, 5, 3, 5 * 6, 6, 4}, inverse, {0, 7});  // part of each head, two not
    check_rotary<TestType>({2, 3, 2, 3 * 20, 20, 18}, inverse, {3, 1});  // of an odd half
    check_rotary<TestType>({1, 40, 10, 12 * 64, 64, 64}, inverse, {7});
  }
}

TEST_CASE("rotary: without a past the first position is 0, and the inverse turns back") {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  const Array x = numbers<double>(*device, {2, 9, 24}, 1);
  Array table = device->allocate(DType::f64, {9, 6});
  for (int64_t i = 0; i < 27; ++i) {
    table.as<double>()[i / 3 * 6 + i % 3] = std::cos(0.7 * static_cast<double>(i));
    table.as<double>()[i / 3 * 6 + 3 + i % 3] = std::sin(0.7 * static_cast<double>(i));
  }
  Array y = device->allocate(DType::f64, x.shape()), back = device->allocate(DType::f64, x.shape());
  device->run(op::Rotary{x, table, 2, 8, false, {}, y});
  CHECK(y.as<double>()[0] == x.as<double>()[0]);  // cos 0 = 1, sin 0 = 0
  CHECK_FALSE(same_bits(x, y));
  device->run(op::Rotary{y, table, 2, 8, true, {}, back});
  for (int64_t i = 0; i < x.count(); ++i)
    CHECK(within(back.as<double>()[i], Exact(x.as<double>()[i]), 1e-15));  // 8 u of numbers below 1
}

TEST_CASE("rotary: its inverse is its gradient, a factor in the table included") {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  Array x = numbers<double>(*device, {2, 5, 30}, 1), y = device->allocate(DType::f64, {2, 5, 30});
  const Array table = numbers<double>(*device, {5, 8}, 2);  // no cosines and sines of any angle
  const Array dy = numbers<double>(*device, {2, 5, 30}, 3);
  Array dx = device->allocate(DType::f64, dy.shape());
  device->run(op::Rotary{dy, table, 2, 10, true, {}, dx});
  check_derivative(x, dx, [&] {
    device->run(op::Rotary{x, table, 2, 10, false, {}, y});
    return weighted_sum(y, dy);
  });
}

}  // namespace tplab
