// AdamW, the sum of squares and the parts of vocab-parallel cross-entropy on the CPU against naive
// loops.
#include <catch2/catch.hpp>
#include <limits>
#include <utility>

#include "tests/sim/lanes.h"

namespace tplab {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class Real>
Real not_a_number() {
  return std::numeric_limits<Real>::quiet_NaN();
}

// A square in double is off by u64, and so is each of the additions it goes through.
TEMPLATE_TEST_CASE("sum_of_squares: in double, the same bits on any number of lanes", "", float,
                   double) {
  for (const int64_t count : {0, 1, 3, 17, 16384, 16385, 100003}) {
    double first = 0;
    for (const int lanes : {1, 2, 3}) {
      Team team(lanes);
      const auto device = make_cpu_device(team.crew());
      const Array x = numbers<TestType>(*device, Shape{count}, 1);
      const double sum = sum_of_squares(*device, x);
      if (lanes == 1) first = sum;
      CHECK(sum == first);
      Exact exact = 0;
      for (int64_t i = 0; i < count; ++i) {
        exact += static_cast<Exact>(x.as<TestType>()[i]) * static_cast<Exact>(x.as<TestType>()[i]);
      }
      CHECK(within(sum, exact, gamma_of<double>(count + 1) * static_cast<double>(exact)));
      if (count == 0) continue;
      x.as<TestType>()[count - 1] = not_a_number<TestType>();
      CHECK(std::isnan(sum_of_squares(*device, x)));
    }
  }
}

// With every constant rounded once: m is off by 3u (|b1 m| + |c1 g|), g by u; v, whose terms are
// positive, by 5u v; √v / root + eps by (5/2 + 4) u of itself; and p by
//   2u |keep p| + u |p| + |update| 10 u + size |error of m| / denominator
// 10% more for second order, and where g² is denormal nothing is promised: data avoids it.
TEMPLATE_TEST_CASE("adamw: a step of PyTorch's formula, the same bits on any number of lanes", "",
                   float, double) {
  const double u = unit_roundoff(dtype_of<TestType>);
  for (const int64_t count : {1, 3, 17, 31, 40003}) {
    for (const int64_t step : {1, 2, 1000}) {
      const AdamW a{.learning_rate = 3e-3,
                    .beta1 = 0.9,
                    .beta2 = 0.95,
                    .eps = 1e-8,
                    .weight_decay = 0.1,
                    .step = step};
      constexpr double kScale = 0.37;
      Array gradient;
      const auto start = [&](Device& device) {
        gradient = numbers<TestType>(device, Shape{count}, 1);
        std::vector<Array> result{numbers<TestType>(device, Shape{count}, 2),
                                  numbers<TestType>(device, Shape{count}, 3),
                                  numbers<TestType>(device, Shape{count}, 4)};
        for (int64_t i = 0; i < count; ++i) {
          TestType& v = result[1].template as<TestType>()[i];
          v *= v;
        }
        return result;
      };
      const std::vector<Array> before = same_on_all_lanes(start);
      const std::vector<Array> after = same_on_all_lanes([&](Device& device) {
        std::vector<Array> state = start(device);
        device.run(
            op::AdamW{a, f64_of(device, kScale), gradient, state[0], state[1], state[2], {}});
        return state;
      });
      const double t = static_cast<double>(step);
      const double size = a.learning_rate / (1 - std::pow(a.beta1, t));
      const double root = std::sqrt(1 - std::pow(a.beta2, t));
      int64_t wrong = 0;
      for (int64_t i = 0; i < count; ++i) {
        const auto old = [&](size_t which) { return double(before[which].as<TestType>()[i]); };
        const auto now = [&](size_t which) { return double(after[which].as<TestType>()[i]); };
        const double g = kScale * double(gradient.as<TestType>()[i]);
        const double m = a.beta1 * old(0) + (1 - a.beta1) * g;
        const double v = a.beta2 * old(1) + (1 - a.beta2) * g * g;
        const double under = std::sqrt(v) / root + a.eps;
        const double kept = (1 - a.learning_rate * a.weight_decay) * old(2);
        const double p = kept - size * m / under;
        const double m_bound = 4.4 * u * (std::abs(a.beta1 * old(0)) + std::abs((1 - a.beta1) * g));
        const double p_bound = 3.3 * u * std::abs(kept) + 1.1 * u * std::abs(p) +
                               11 * u * std::abs(size * m / under) + size * m_bound / under;
        if (!within(now(0), m, m_bound)) ++wrong;
        if (!within(now(1), v, 6.6 * u * v)) ++wrong;
        if (!within(now(2), p, p_bound)) ++wrong;
      }
      CHECK(wrong == 0);
    }
  }
}

TEMPLATE_TEST_CASE("adamw: a scale that is no number changes nothing", "", float, double) {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  std::vector<Array> state, before;
  for (int seed = 1; seed <= 4; ++seed) {
    state.push_back(numbers<TestType>(*device, Shape{37}, seed));
    before.push_back(numbers<TestType>(*device, Shape{37}, seed));
  }
  const AdamW a{.learning_rate = 1e-2,
                .beta1 = 0.9,
                .beta2 = 0.95,
                .eps = 1e-8,
                .weight_decay = 0.1,
                .step = 2};
  device->run(
      op::AdamW{a, f64_of(*device, std::nan("")), state[0], state[1], state[2], state[3], {}});
  CHECK(same_bits(state, before));
  device->run(op::AdamW{a, f64_of(*device, 1), state[0], state[1], state[2], state[3], {}});
  CHECK_FALSE(same_bits(state, before));
}

TEST_CASE("clip_scale: PyTorch's clipping, and no number where the norm or the loss is none") {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  const auto clip = [&](double squares, double loss, double limit) {
    Array norm = f64_of(*device, 0), scale = f64_of(*device, 0);
    device->run(op::ClipScale{f64_of(*device, squares), f64_of(*device, loss), limit, norm, scale});
    return std::pair(number_on_host(*device, norm), number_on_host(*device, scale));
  };
  CHECK(clip(16, 3, 1) == std::pair(4.0, 1 / (4 + 1e-6)));
  CHECK(clip(0.25, 3, 1) == std::pair(0.5, 1.0));  // never larger
  CHECK(clip(16, 3, 0) == std::pair(4.0, 1.0));    // 0 never clips
  for (const double bad : {kInfinity, std::nan("")}) {
    CHECK(std::isnan(clip(bad, 3, 1).second));
    CHECK(std::isnan(clip(16, bad, 1).second));
    CHECK(std::isnan(clip(16, bad, 0).second));
    CHECK(clip(16, bad, 1).first == 4);
  }
}

TEMPLATE_TEST_CASE("sum_of_losses: adds, and leaves out where the id is below 0", "", float,
                   double) {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  const Array largest = numbers<TestType>(*device, Shape{5}, 1);
  const Array wanted = numbers<TestType>(*device, Shape{5}, 2);
  const Array sums = numbers<TestType>(*device, Shape{5}, 3);
  const std::vector<int32_t> ids{4, -1, 0, 9, 2};
  double expected = 0;
  for (int64_t r = 0; r < 5; ++r) {
    TestType& sum = sums.as<TestType>()[r];
    sum = std::abs(sum);
    if (r != 1)
      expected += std::log(double(sum)) +
                  (double(largest.as<TestType>()[r]) - double(wanted.as<TestType>()[r]));
  }
  largest.as<TestType>()[1] = not_a_number<TestType>();  // of the one that is left out
  const Array out = f64_of(*device, 10);
  device->run(op::SumOfLosses{largest, wanted, sums, ids_of(*device, ids), 0.25, out});
  CHECK(number_on_host(*device, out) == 10 + 0.25 * expected);
}

TEMPLATE_TEST_CASE("row_max: -inf without columns, NaN wins wherever it stands", "", float,
                   double) {
  for (const int64_t C : {1, 3, 17, 65, 5003}) {
    for (const int64_t cols : {int64_t{0}, C / 2, C}) {
      for (const int64_t bad : {int64_t{-1}, int64_t{0}, cols - 1, cols}) {
        Array x;
        const Array got = same_on_all_lanes([&](Device& device) {
          x = numbers<TestType>(device, Shape{5, C}, 1);
          if (bad >= 0 && bad < C) x.as<TestType>()[2 * C + bad] = not_a_number<TestType>();
          Array out = device.allocate(x.dtype(), Shape{5});
          device.run(op::RowMax{x, cols, out});
          return out;
        });
        for (int64_t r = 0; r < 5; ++r) {
          double expected = -kInfinity;
          for (int64_t c = 0; c < cols; ++c) {
            expected = std::max(expected, double(x.as<TestType>()[r * C + c]));
          }
          const double out = got.as<TestType>()[r];
          if (r == 2 && bad >= 0 && bad < cols) {
            CHECK(std::isnan(out));
          } else {
            CHECK(out == expected);
          }
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("pick: the number at the row's id, 0 for ids of the padding or of nobody", "",
                   float, double) {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  const Array x = numbers<TestType>(*device, Shape{6, 20}, 1);
  Array out = numbers<TestType>(*device, Shape{6}, 2);
  device->run(op::Pick{x, 17, ids_of(*device, {100, 116, 117, 99, -1, 105}), 100, out});
  const TestType* const numbers = x.as<TestType>();
  const std::vector<TestType> expected{numbers[0], numbers[20 + 16], 0, 0, 0, numbers[5 * 20 + 5]};
  for (size_t r = 0; r < 6; ++r) CHECK(out.as<TestType>()[r] == expected[r]);
}

// exp's argument is rounded once, its value good to 5 units in the last place: a relative error of
// u |x - shift| + 10u. The sum rounds only when stored, but for the runs of 16 numbers inside it.
TEMPLATE_TEST_CASE("exp_rows: in place, zeros in the padding, sums of what is real", "", float,
                   double) {
  const double u = unit_roundoff(dtype_of<TestType>);
  for (const int64_t C : {1, 3, 17, 65, 5003}) {
    for (const int64_t cols : {int64_t{0}, C / 2, C}) {
      Array x, shift;
      const std::vector<Array> got = same_on_all_lanes([&](Device& device) {
        x = numbers<TestType>(device, Shape{5, C}, 1);
        shift = numbers<TestType>(device, Shape{5}, 2);
        Array y = numbers<TestType>(device, Shape{5, C}, 1);
        for (int64_t i = cols; i < C; ++i) y.as<TestType>()[i] = not_a_number<TestType>();
        Array sums = device.allocate(x.dtype(), Shape{5});
        device.run(op::ExpRows{y, cols, shift, sums});
        return std::vector<Array>{y, sums};
      });
      int64_t wrong = 0;
      for (int64_t r = 0; r < 5; ++r) {
        Exact sum = 0;
        for (int64_t c = 0; c < C; ++c) {
          const Exact argument = static_cast<Exact>(x.as<TestType>()[r * C + c]) -
                                 static_cast<Exact>(shift.as<TestType>()[r]);
          const Exact exact = c < cols ? std::exp(argument) : 0;
          const double got_c = double(got[0].as<TestType>()[r * C + c]);
          if (!within(got_c, exact, 1.1 * u * 12 * double(exact))) ++wrong;  // |argument| < 2
          sum += exact;
        }
        const double bound = 1.1 * (12 * u + gamma_of<TestType>(17)) * double(sum);
        if (!within(double(got[1].as<TestType>()[r]), sum, bound)) ++wrong;
      }
      CHECK(wrong == 0);
    }
  }
}

TEMPLATE_TEST_CASE("softmax_minus_onehot: zero for rows without a target and for padding", "",
                   float, double) {
  const double u = unit_roundoff(dtype_of<TestType>);
  const std::vector<int32_t> ids{100, -1, 3, 102, 5000};  // columns here are ids 100 ..
  for (const int64_t C : {1, 3, 17, 65, 5003}) {
    for (const int64_t cols : {int64_t{0}, C / 2, C}) {
      Array x, sums;
      const Array got = same_on_all_lanes([&](Device& device) {
        x = numbers<TestType>(device, Shape{5, C}, 1);
        sums = numbers<TestType>(device, Shape{5}, 2);
        Array y = numbers<TestType>(device, Shape{5, C}, 1);
        for (int64_t i = 0; i < C; ++i) y.as<TestType>()[C + i] = not_a_number<TestType>();
        for (int64_t i = cols; i < C; ++i) y.as<TestType>()[i] = not_a_number<TestType>();
        device.run(op::SoftmaxMinusOnehot{y, cols, sums, ids_of(device, ids), 100, 0.3});
        return y;
      });
      int64_t wrong = 0;
      for (int64_t i = 0; i < 5 * C; ++i) {
        const int64_t r = i / C, c = i % C;
        const bool real = c < cols && r != 1;
        const double part = 0.3 * double(x.as<TestType>()[i]) / double(sums.as<TestType>()[r]);
        const double one = c == ids[static_cast<size_t>(r)] - 100 ? 0.3 : 0;
        const double expected = real ? part - one : 0;  // 3 roundings of the terms, 1 of the result
        const double bound = real ? 3.3 * u * (std::abs(part) + one) : 0;
        if (!within(double(got.as<TestType>()[i]), expected, bound)) ++wrong;
      }
      CHECK(wrong == 0);
    }
  }
}

// Two ranks' parts together, as the model communicates them: the loss and its gradient.
TEST_CASE("vocab-parallel cross-entropy: its gradient agrees with finite differences") {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  constexpr int64_t kRows = 6, kPart = 20, kCols[2] = {20, 13};  // 33 ids, 7 columns of padding
  const std::vector<int32_t> ids{0, 19, 20, -1, 32, 7};
  Array x[2] = {numbers<double>(*device, Shape{kRows, kPart}, 1),
                numbers<double>(*device, Shape{kRows, kPart}, 2)};
  Array probabilities[2] = {device->allocate(DType::f64, Shape{kRows, kPart}),
                            device->allocate(DType::f64, Shape{kRows, kPart})};
  Array sums = device->allocate(DType::f64, Shape{kRows});
  const auto loss = [&] {
    const auto rows = [&] { return device->allocate(DType::f64, Shape{kRows}); };
    Array most = rows(), other = rows(), picked[2] = {rows(), rows()};
    device->run(op::RowMax{x[0], kCols[0], most});
    device->run(op::RowMax{x[1], kCols[1], other});
    const void* const maxima[2] = {most.data(), other.data()};
    device->max(maxima, most.data(), DType::f64, kRows);
    for (int p = 0; p < 2; ++p) {
      device->run(op::Pick{x[p], kCols[p], ids_of(*device, ids), p * kPart, picked[p]});
      device->copy(x[p].data(), probabilities[p].data(), x[p].bytes());
      device->run(op::ExpRows{probabilities[p], kCols[p], most, p == 0 ? sums : other});
    }
    device->run(op::Add{sums, other, sums});
    double total = 0, size = 0;
    for (int64_t r = 0; r < kRows; ++r) {
      if (ids[static_cast<size_t>(r)] < 0) continue;
      const double target = picked[0].as<double>()[r] + picked[1].as<double>()[r];
      const double row = std::log(sums.as<double>()[r]) + most.as<double>()[r] - target;
      total += row / 5;
      size += std::abs(row) / 5;
    }
    return std::pair{total, size};
  };
  loss();
  for (int p = 0; p < 2; ++p) {
    Array dx = device->allocate(DType::f64, Shape{kRows, kPart});
    loss();
    device->copy(probabilities[p].data(), dx.data(), dx.bytes());
    device->run(
        op::SoftmaxMinusOnehot{dx, kCols[p], sums, ids_of(*device, ids), p * kPart, 1.0 / 5});
    check_derivative(x[p], dx, loss);
  }
}

}  // namespace
}  // namespace tplab
