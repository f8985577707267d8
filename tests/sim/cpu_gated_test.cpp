// Activations other than GELU, gates and soft caps on the CPU, against their formulas.
#include <catch2/catch.hpp>
#include <limits>

#include "tests/sim/lanes.h"

namespace tplab {
namespace {

// A function and its slope, and how far computed ones may be off.
struct Exactly {
  Exact y = 0, slope = 0, y_off = 0, slope_off = 0;
};

// x σ(αx), slope s + t s (1 - s) with t = αx, s = σ(t): t rounds once, so that e^-t is off by the
// factor (|t| + 10) u, exp being good to 5 units; and s, 1 - s by their share of that and 2u:
//   |error of s| <= s ((|t| + 10)(1 - s) + 2) u =: σ   and the same of x s, with one more rounding
//   |error of t s (1 - s)| <= |t| (σ (1 - s) + s (σ + u (1 - s)) + 3u s (1 - s))
// 10% for second order, and exp stops at e^-87 or e^-707.
template <class Real>
Exactly sigmoid_gate(Exact x, Exact alpha) {
  const Exact u = unit_roundoff(dtype_of<Real>), t = alpha * x;
  const Exact s = 1 / (1 + std::exp(-t)), rest = 1 / (1 + std::exp(t));
  const Exact sigma = s * ((std::abs(t) + 10) * rest + 2) * u;
  const Exact least = std::exp(Exact(sizeof(Real) == 4 ? -87 : -707));
  return {
      .y = x * s,
      .slope = s + t * s * rest,
      .y_off = 1.1L * std::abs(x) * (sigma + u * s) + std::abs(x) * least,
      .slope_off =
          1.1L * (sigma + std::abs(t) * (sigma * rest + s * (sigma + u * rest) + 3 * u * s * rest) +
                  u * std::abs(s + t * s * rest)) +
          (1 + std::abs(t)) * least};
}

// tanh within 8 units (Eigen's is a quotient of polynomials), its slope 1 - y² so by 2 |y| 16u +
// 2u.
template <class Real>
Exactly tanh_of(Exact x) {
  const Exact u = unit_roundoff(dtype_of<Real>), y = std::tanh(x);
  return {.y = y,
          .slope = 1 - y * y,
          .y_off = 16 * u * std::abs(y),
          .slope_off = 1.1L * (32 * u * y * y + 2 * u)};
}

template <class Real>
Exactly exactly(ActivationKind kind, Exact x) {
  switch (kind) {
    case ActivationKind::silu:
      return sigmoid_gate<Real>(x, 1);
    case ActivationKind::quick_gelu:
      return sigmoid_gate<Real>(x, static_cast<Exact>(static_cast<Real>(1.702)));
    case ActivationKind::tanh:
      return tanh_of<Real>(x);
    default:
      return {.y = std::max(x, Exact(0)), .slope = x > 0 ? Exact(1) : Exact(0)};
  }
}

constexpr ActivationKind kKinds[] = {ActivationKind::silu, ActivationKind::quick_gelu,
                                     ActivationKind::relu, ActivationKind::tanh};

template <class Real>
Exact exact_at(const Array& x, int64_t i) {
  return static_cast<Exact>(x.as<Real>()[i]);
}

// Up to 12 in size, a few of them 0.
template <class Real>
Array wide_numbers(Device& device, const Shape& shape, int seed) {
  Array x = numbers<Real>(device, shape, seed);
  for (int64_t i = 0; i < x.count(); ++i) x.as<Real>()[i] *= i % 50 == 49 ? Real(0) : Real(12);
  return x;
}

}  // namespace

TEMPLATE_TEST_CASE("activation: silu, quick_gelu, relu, tanh and their slopes, in place too", "",
                   float, double) {
  for (const ActivationKind kind : kKinds) {
    for (const int64_t count : {1, 3, 17, 31, 65, 20001}) {
      CAPTURE(int(kind), count);
      Array x, dy;
      const std::vector<Array> got = same_on_all_lanes([&](Device& device) {
        x = wide_numbers<TestType>(device, {count}, 5);
        dy = numbers<TestType>(device, {count}, 6);
        Array y = wide_numbers<TestType>(device, {count}, 5);
        Array dx = numbers<TestType>(device, {count}, 6);
        device.run(op::Activation{kind, y, y});
        device.run(op::ActivationBackward{kind, x, dx, dx});
        return std::vector<Array>{y, dx};
      });
      int64_t wrong = 0;
      for (int64_t i = 0; i < count; ++i) {
        const Exactly e = exactly<TestType>(kind, exact_at<TestType>(x, i));
        const Exact g = exact_at<TestType>(dy, i), u = unit_roundoff(x.dtype());
        wrong += !within(got[0].as<TestType>()[i], e.y, static_cast<double>(e.y_off));
        wrong += !within(got[1].as<TestType>()[i], g * e.slope,
                         static_cast<double>(std::abs(g) * (e.slope_off + u * std::abs(e.slope))));
      }
      CHECK(wrong == 0);
    }
  }
}

TEMPLATE_TEST_CASE("activation, gated, soft_cap: NaN comes out where it goes in, and nowhere else",
                   "", float, double) {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  const auto nan = std::numeric_limits<TestType>::quiet_NaN();
  const auto check = [&](const Array& y, std::initializer_list<int64_t> places) {
    for (int64_t i = 0; i < y.count(); ++i) {
      const bool expected = std::find(places.begin(), places.end(), i) != places.end();
      CHECK(std::isnan(y.as<TestType>()[i]) == expected);
    }
  };
  Array x = numbers<TestType>(*device, {37}, 1), dy = numbers<TestType>(*device, {37}, 2);
  Array y = device->allocate(x.dtype(), {37});
  x.as<TestType>()[5] = dy.as<TestType>()[36] = nan;
  for (const ActivationKind kind : kKinds) {
    device->run(op::Activation{kind, x, y});
    check(y, {5});
    device->run(op::ActivationBackward{kind, x, dy, y});
    check(y, {5, 36});
  }
  device->run(op::SoftCap{2, x, y});
  check(y, {5});
  device->run(op::SoftCapBackward{2, x, dy, y});
  check(y, {5, 36});

  Array pairs = numbers<TestType>(*device, {2, 38}, 3), z = device->allocate(x.dtype(), {2, 19});
  Array dpairs = device->allocate(x.dtype(), {2, 38});
  pairs.as<TestType>()[4] = pairs.as<TestType>()[38 + 19 + 6] = nan;
  for (const Gate& gate : {Gate{}, Gate{.limit = 0.5, .alpha = 1.7}}) {
    device->run(op::Gated{gate, pairs, z});
    check(z, {4, 19 + 6});
    const Array dz = numbers<TestType>(*device, {2, 19}, 4);
    device->run(op::GatedBackward{gate, pairs, dz, dpairs});
    CHECK(std::isnan(dpairs.as<TestType>()[4]));
    CHECK(std::isnan(dpairs.as<TestType>()[38 + 6]));
  }
}

TEMPLATE_TEST_CASE("gated: act(gate) up, and gpt-oss' clamped form, within their bounds", "", float,
                   double) {
  const Gate gates[] = {{.activation = ActivationKind::silu},
                        {.activation = ActivationKind::relu},
                        {.activation = ActivationKind::tanh},
                        {.limit = TestType(2.5), .alpha = TestType(1.702)}};
  const std::pair<int64_t, int64_t> sizes[] = {{1, 1}, {3, 17}, {2, 513}, {41, 1027}};  // rows, F
  for (const Gate& gate : gates) {
    for (const auto& size : sizes) {
      const int64_t rows = size.first, F = size.second;
      CAPTURE(int(gate.activation), gate.limit, rows, F);
      Array x, dy;
      const std::vector<Array> got = same_on_all_lanes([&](Device& device) {
        x = wide_numbers<TestType>(device, {rows, 2 * F}, 5);
        dy = numbers<TestType>(device, {rows, F}, 6);
        Array y = device.allocate(x.dtype(), dy.shape()),
              dx = device.allocate(x.dtype(), x.shape());
        device.run(op::Gated{gate, x, y});
        device.run(op::GatedBackward{gate, x, dy, dx});
        return std::vector<Array>{y, dx};
      });
      // A product of two, and of three with dy: each rounds, the clamped one's sum too.
      const Exact u = unit_roundoff(x.dtype()), limit = gate.limit;
      int64_t wrong = 0;
      for (int64_t i = 0; i < rows * F; ++i) {
        const int64_t place = i / F * 2 * F + i % F;
        const Exact g = exact_at<TestType>(x, place), d = exact_at<TestType>(dy, i);
        Exact up = exact_at<TestType>(x, place + F), up_slope = 1;
        Exactly e = limit > 0 ? sigmoid_gate<TestType>(std::min(g, limit), Exact(gate.alpha))
                              : exactly<TestType>(gate.activation, g);
        if (limit > 0) {
          if (g > limit) e.slope = e.slope_off = 0;
          if (std::abs(up) > limit) up_slope = 0;
          up = std::clamp(up, -limit, limit) + 1;
        }
        const auto off = [&](Exact value, Exact value_off, Exact times) {
          return static_cast<double>(1.1L * std::abs(times) *
                                     (value_off + 4 * u * std::abs(value)));
        };
        wrong += !within(got[0].as<TestType>()[i], e.y * up, off(e.y, e.y_off, up));
        wrong += !within(got[1].as<TestType>()[place], d * up * e.slope,
                         off(e.slope, e.slope_off, d * up));
        wrong += !within(got[1].as<TestType>()[place + F], d * e.y * up_slope,
                         off(e.y, e.y_off, d * up_slope));
      }
      CHECK(wrong == 0);
    }
  }
}

TEMPLATE_TEST_CASE("soft_cap: cap tanh(x / cap), and its slope from the result", "", float,
                   double) {
  for (const double cap : {0.5, 3.0, 30.0}) {
    Array x, dy;
    const std::vector<Array> got = same_on_all_lanes([&](Device& device) {
      x = wide_numbers<TestType>(device, {20001}, 5);
      dy = numbers<TestType>(device, {20001}, 6);
      Array y = wide_numbers<TestType>(device, {20001}, 5);
      device.run(op::SoftCap{cap, y, y});
      Array dx = numbers<TestType>(device, {20001}, 6);
      device.run(op::SoftCapBackward{cap, y, dx, dx});
      return std::vector<Array>{y, dx};
    });
    const Exact u = unit_roundoff(x.dtype());
    int64_t wrong = 0;
    for (int64_t i = 0; i < x.count(); ++i) {
      // x/cap carries 2 roundings, which move tanh by 2u |z| (1 - tanh²) <= 2u tanh; 1 more.
      const Exactly e = tanh_of<TestType>(exact_at<TestType>(x, i) / Exact(cap));
      const Exact y = exact_at<TestType>(got[0], i), part = y / Exact(cap),
                  d = exact_at<TestType>(dy, i);
      wrong += !within(double(y), cap * e.y,
                       double(Exact(cap) * (e.y_off + 1.1L * 4 * u * std::abs(e.y))));
      // From y as it came: (y/cap)² carries 5 roundings, the difference and the product 2.
      wrong += !within(got[1].as<TestType>()[i], d * (1 - part * part),
                       double(1.1L * u * std::abs(d) * (5 * part * part + 2)));
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("gradients of activations, gates and soft caps agree with finite differences") {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  // Away from where a function bends: relu's 0 and the limits.
  const auto away = [](Array& x) {
    for (int64_t i = 0; i < x.count(); ++i) {
      double& v = x.as<double>()[i];
      v *= 3;
      for (const double corner : {0.0, 1.25, -1.25})
        if (std::abs(v - corner) < 1e-3) v = corner + 1e-3;
    }
  };
  Array x = numbers<double>(*device, {11, 38}, 1), dx = device->allocate(DType::f64, {11, 38});
  away(x);
  const Array dy = numbers<double>(*device, {11, 38}, 2),
              dz = numbers<double>(*device, {11, 19}, 3);
  Array y = device->allocate(DType::f64, dy.shape()), z = device->allocate(DType::f64, dz.shape());
  for (const ActivationKind kind : kKinds) {
    device->run(op::ActivationBackward{kind, x, dy, dx});
    check_derivative(x, dx, [&] {
      device->run(op::Activation{kind, x, y});
      return weighted_sum(y, dy);
    });
  }
  for (const Gate& gate : {Gate{}, Gate{.activation = ActivationKind::gelu_tanh},
                           Gate{.limit = 1.25, .alpha = 1.702}}) {
    device->run(op::GatedBackward{gate, x, dz, dx});
    check_derivative(x, dx, [&] {
      device->run(op::Gated{gate, x, z});
      return weighted_sum(z, dz);
    });
  }
  const auto capped = [&] {
    device->run(op::SoftCap{1.5, x, y});
    return weighted_sum(y, dy);
  };
  static_cast<void>(capped());
  device->run(op::SoftCapBackward{1.5, y, dy, dx});
  check_derivative(x, dx, capped);
}

}  // namespace tplab
