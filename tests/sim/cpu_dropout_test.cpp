// Dropout on the CPU against its definition; masks of pieces against the whole mask.
#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/sim/dropped.h"
#include "tests/sim/lanes.h"

namespace tplab {
namespace {

// Dropout by its definition, number by number.
TEMPLATE_TEST_CASE("dropout: by the global number, in place too, the same bits on all lanes", "",
                   float, double) {
  for (const int64_t C : {1, 3, 17, 128, 4099}) {
    const DropoutMask mask{.rate = 0.3,
                           .stream = RandomStream(3, "d"),
                           .first_sequence = 5,
                           .first_position = 2,
                           .whole_length = 11};
    Array x;
    const Array y = same_on_all_lanes([&](Device& device) {
      x = numbers<TestType>(device, Shape{2, 7, C}, 1);
      Array in_place = numbers<TestType>(device, Shape{2, 7, C}, 1);
      device.run(op::Dropout{in_place, mask, in_place});
      Array other = device.allocate(x.dtype(), x.shape());
      device.run(op::Dropout{x, mask, other});
      CHECK(same_bits(other, in_place));
      return in_place;
    });
    const double u = unit_roundoff(x.dtype());
    int64_t wrong = 0;
    for (int64_t i = 0; i < x.count(); ++i) {
      const int64_t b = i / C / 7, t = i / C % 7;
      const bool drop = dropped(mask, ((5 + b) * 11 + 2 + t) * C + i % C);
      const double exact = drop ? 0 : double(x.as<TestType>()[i]) / (1 - mask.rate);
      if (!within(double(y.as<TestType>()[i]), exact, 3 * u * std::abs(exact))) ++wrong;
    }
    CHECK(wrong == 0);
  }
}

// The dropped count of n draws has standard deviation √(n r (1 - r)); 5 of them are allowed.
TEST_CASE("dropout: the dropped fraction is the rate") {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  for (const double rate : {0.0, 0.1, 0.5, 0.9}) {
    const DropoutMask mask{.rate = rate, .stream = RandomStream(1, "f"), .whole_length = 100};
    const Array x = numbers<float>(*device, Shape{10, 100, 100}, 1);
    Array y = device->allocate(x.dtype(), x.shape());
    device->run(op::Dropout{x, mask, y});
    const auto n = static_cast<double>(x.count());
    const auto zeros = static_cast<double>(std::count(y.as<float>(), y.as<float>() + y.count(), 0));
    CHECK(std::abs(zeros - n * rate) <= 5 * std::sqrt(n * rate * (1 - rate)));
  }
}

// [B, T, C] of all ones, so that the result is the mask.
Array ones(Device& device, const Shape& shape) {
  Array x = device.allocate(DType::f32, shape);
  std::fill_n(x.as<float>(), x.count(), 1.0f);
  return x;
}

TEST_CASE("dropout: masks of pieces over sequences and positions are pieces of the whole mask") {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  constexpr int64_t B = 4, T = 10, C = 7;
  DropoutMask mask{.rate = 0.4, .stream = RandomStream(1, "s"), .whole_length = T};
  Array whole = ones(*device, {B, T, C});
  device->run(op::Dropout{whole, mask, whole});
  for (const int64_t first_b : {0, 2}) {
    for (const int64_t first_t : {0, 5}) {
      mask.first_sequence = first_b;
      mask.first_position = first_t;
      Array piece = ones(*device, {2, 5, C});
      device->run(op::Dropout{piece, mask, piece});
      for (int64_t b = 0; b < 2; ++b) {
        const int64_t from = ((first_b + b) * T + first_t) * C;
        CHECK(same_bits(piece.part(b * 5 * C, Shape{5, C}), whole.part(from, Shape{5, C})));
      }
    }
  }
}

}  // namespace
}  // namespace tplab
