// bf16 on the CPU where operations are in place, and what is no operation: sums of ranks' terms,
// and AdamW with masters. tests/sim/every_operation_test.cpp has each operation.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/sim/lanes.h"

namespace tplab {
namespace {

std::vector<double> of_bf16(const Array& x) {
  std::vector<double> numbers;
  for (int64_t i = 0; i < x.count(); ++i) numbers.push_back(static_cast<double>(x.as<bf16>()[i]));
  return numbers;
}

Array bf16s(Device& device, const std::vector<double>& numbers) {
  const Array x = device.allocate(DType::bf16, {std::ssize(numbers)});
  for (int64_t i = 0; i < x.count(); ++i) x.as<bf16>()[i] = bf16(numbers[static_cast<size_t>(i)]);
  return x;
}

}  // namespace

TEST_CASE("bf16: an operation in place is what it is elsewhere, and so is one of a view") {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  const Shape shape{3, 5};
  const auto made = [&](int seed) { return numbers<bf16>(*device, shape, seed); };
  const Array a = made(1), b = made(2), elsewhere = device->allocate(DType::bf16, shape);
  device->run(op::Add{a, b, elsewhere});

  Array y = made(1);
  device->run(op::Add{y, b, y});
  CHECK(same_bits(y, elsewhere));
  y = made(2);
  device->run(op::Add{a, y, y});
  CHECK(same_bits(y, elsewhere));
  // The middle of a list whose other numbers are not touched, under another shape.
  const Array list = numbers<bf16>(*device, Shape{4 + 15 + 3}, 7);
  const Array before = numbers<bf16>(*device, Shape{4 + 15 + 3}, 7);
  const Array middle = list.part(4, shape);
  device->copy(a.data(), middle.data(), a.bytes());
  device->run(op::Add{middle, b, list.part(4, Shape{3, 5})});
  CHECK(same_bits(middle, elsewhere));
  CHECK(same_bits(list.part(0, Shape{4}), before.part(0, Shape{4})));
  CHECK(same_bits(list.part(19, Shape{3}), before.part(19, Shape{3})));
  // x + x in x.
  y = made(1);
  device->run(op::Add{y, y, y});
  for (int64_t i = 0; i < y.count(); ++i)
    CHECK(y.as<bf16>()[i] == 2 * static_cast<float>(a.as<bf16>()[i]));
}

TEST_CASE("bf16: what a cache holds stays as it is, and what is free in it too") {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  constexpr int64_t kSize = 6, D = 4;
  const Shape cache{1, 1, kSize, D};
  Array keys = numbers<bf16>(*device, cache, 1), values = numbers<bf16>(*device, cache, 2);
  keys.as<bf16>()[kSize * D - 1] = bf16(std::numeric_limits<float>::quiet_NaN());
  const std::vector<double> before = of_bf16(keys);
  const Array qkv = numbers<bf16>(*device, Shape{1, 1, 3 * D}, 3);
  const Array y = device->allocate(DType::bf16, Shape{1, 1, D});
  const Array filled = ids_of(*device, {2});
  device->run(op::CachedAttention{
      {.heads = 1, .kv_heads = 1, .scale = 0.5}, qkv, {}, {filled, 2}, keys, values, y});
  const std::vector<double> after = of_bf16(keys);
  for (size_t i = 0; i + 1 < after.size(); ++i) {
    const bool is_new = i / D == 2;
    CHECK(after[i] == (is_new ? of_bf16(qkv)[D + i % D] : before[i]));
  }
  CHECK(std::isnan(after.back()));
  for (const double v : of_bf16(y)) CHECK(std::isfinite(v));
}

TEST_CASE("bf16: terms of ranks are added up in f32, in rank order, and rounded once") {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  // Three eighths of what is between 1 and the next bf16: each alone would be rounded away.
  const Array one = bf16s(*device, {1, 0x1p30, 1});
  const Array little = bf16s(*device, {0x3p-10, -0x1p30, 2});
  const Array third = bf16s(*device, {0x3p-10, 1, 3});
  const std::vector<const void*> terms = {one.data(), little.data(), third.data()};
  Array sum = device->allocate(DType::bf16, {3});
  device->sum(terms, sum.data(), DType::bf16, 3);
  CHECK(of_bf16(sum) == std::vector<double>{1 + 0x1p-7, 1, 6});
  const std::vector<const void*> reversed = {third.data(), little.data(), one.data()};
  device->sum(reversed, third.data(), DType::bf16, 3);  // into one of them
  CHECK(of_bf16(third) == std::vector<double>{1 + 0x1p-7, 0, 6});

  const Array other = bf16s(*device, {2, 0x1p31, std::nan("")});
  device->max(std::vector<const void*>{one.data(), other.data()}, sum.data(), DType::bf16, 3);
  CHECK(of_bf16(sum)[0] == 2);
  CHECK(of_bf16(sum)[1] == 0x1p31);
  CHECK(std::isnan(of_bf16(sum)[2]));
}

TEST_CASE("adamw: steps that bf16 rounds away add up in a master, and not without one") {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  // Where all gradients are alike a step is the learning rate: an eighth of what is between 1 and
  // the bf16 before it.
  const AdamW step{.learning_rate = 0x1p-11,
                   .beta1 = 0.9,
                   .beta2 = 0.95,
                   .eps = 1e-8,
                   .weight_decay = 0,
                   .step = 1};
  const auto floats = [&](double value) {
    Array x = device->allocate(DType::f32, Shape{1});
    *x.as<float>() = static_cast<float>(value);
    return x;
  };
  const Array scale = f64_of(*device, 1), gradient = floats(1);
  const auto after = [&](int steps, const Array& parameter, const Array& copy) {
    const Array m = floats(0), v = floats(0);
    for (int i = 0; i < steps; ++i) {
      AdamW one = step;
      one.step = i + 1;
      device->run(op::AdamW{one, scale, gradient, m, v, parameter, copy});
    }
  };
  const Array master = floats(1), copy = bf16s(*device, {1}), alone = bf16s(*device, {1});
  after(3, master, copy);
  CHECK(of_bf16(copy)[0] == 1);  // 3/8 of the way
  CHECK(*master.as<float>() == Approx(1 - 3 * 0x1p-11).epsilon(1e-6));
  after(3, master, copy);  // 6/8
  CHECK(of_bf16(copy)[0] == 1 - 0x1p-8);
  after(1000, alone, {});
  CHECK(of_bf16(alone)[0] == 1);
}

TEST_CASE("adamw: a scale that is no number leaves a copy what it was") {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  const Array gradient = numbers<float>(*device, Shape{9}, 1), m = numbers<float>(*device, {9}, 2),
              v = numbers<float>(*device, Shape{9}, 3), master = numbers<float>(*device, {9}, 4),
              copy = numbers<bf16>(*device, Shape{9}, 4);
  const std::vector<double> before = of_bf16(copy);
  device->run(op::AdamW{{.learning_rate = 0.1,
                         .beta1 = 0.9,
                         .beta2 = 0.95,
                         .eps = 1e-8,
                         .weight_decay = 0.1,
                         .step = 1},
                        f64_of(*device, std::nan("")),
                        gradient,
                        m,
                        v,
                        master,
                        copy});
  CHECK(of_bf16(copy) == before);
}

}  // namespace tplab
