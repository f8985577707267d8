// The CPU device's operations against naive loops, with derived bounds, at odd sizes.
#include <catch2/catch.hpp>
#include <limits>
#include <numeric>

#include "tests/sim/lanes.h"

namespace tplab {
namespace {

double cross_entropy(Device& device, const Array& logits, const std::vector<int32_t>& targets) {
  Array out = device.allocate(DType::f64, {1});
  device.run(op::CrossEntropy{logits, ids_of(device, targets), out});
  return number_on_host(device, out);
}

template <class Real>
Real nan_of() {
  return std::numeric_limits<Real>::quiet_NaN();
}

// y_n sums K products and the bias in some order: at most K + 1 roundings touch a term, so the
// error is at most γ_{K+1} (Σ |x_k w_k| + |b_n|) (Higham 2002, section 3.1).
template <class Real>
void check_linear(int64_t rows, int64_t K, int64_t N, bool with_bias) {
  INFO("rows " << rows << " K " << K << " N " << N << " bias " << with_bias);
  Array x, w, bias;
  const Array y = same_on_all_lanes([&](Device& device) {
    x = numbers<Real>(device, Shape{rows, K}, 1);
    w = numbers<Real>(device, Shape{N, K}, 2);
    bias = numbers<Real>(device, Shape{N}, 3);
    Array result = device.allocate(dtype_of<Real>, Shape{rows, N});
    device.run(op::Linear{x, w, with_bias ? bias : Array(), result});
    return result;
  });
  int64_t wrong = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t n = 0; n < N; ++n) {
      Exact exact = with_bias ? static_cast<Exact>(bias.as<Real>()[n]) : 0, size = std::abs(exact);
      for (int64_t k = 0; k < K; ++k) {
        const Exact term = static_cast<Exact>(x.as<Real>()[r * K + k]) * w.as<Real>()[n * K + k];
        exact += term;
        size += std::abs(term);
      }
      const double bound = gamma_of<Real>(K + 1) * static_cast<double>(size);
      if (!within(static_cast<double>(y.as<Real>()[r * N + n]), exact, bound)) ++wrong;
    }
  }
  CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("linear: within the bound of its sums, the same bits on any number of lanes", "",
                   float, double) {
  for (const int64_t rows : {1, 2, 3, 7, 8, 9, 17, 65}) {
    for (const int64_t K : {1, 3, 17, 31, 65}) check_linear<TestType>(rows, K, 33, K != 17);
    for (const int64_t N : {1, 3, 17, 31, 65}) check_linear<TestType>(rows, 19, N, N != 17);
  }
  check_linear<TestType>(1, 300, 1000, true);  // large enough for all lanes
  check_linear<TestType>(5, 300, 1001, true);
  check_linear<TestType>(1030, 21, 801, true);  // several tiles in both directions
}

TEMPLATE_TEST_CASE("linear: NaN in one weight reaches that output of every row and no other", "",
                   float, double) {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  for (const int64_t rows : {1, 3, 40}) {
    const Array x = numbers<TestType>(*device, Shape{rows, 35}, 1);
    Array w = numbers<TestType>(*device, Shape{50, 35}, 2);
    w.as<TestType>()[7 * 35 + 34] = nan_of<TestType>();
    Array y = device->allocate(x.dtype(), Shape{rows, 50});
    device->run(op::Linear{x, w, {}, y});
    for (int64_t i = 0; i < y.count(); ++i) CHECK(std::isnan(y.as<TestType>()[i]) == (i % 50 == 7));
  }
}

TEMPLATE_TEST_CASE("add: one rounding, b may be a row, y may be a or b", "", float, double) {
  for (const int64_t C : {1, 3, 17, 31, 65, 5000}) {
    Array a, b, row;
    const auto compute = [&](Device& device, bool broadcast, bool into_b) {
      a = numbers<TestType>(device, Shape{7, C}, 1);
      b = numbers<TestType>(device, Shape{7, C}, 2);
      row = numbers<TestType>(device, Shape{C}, 3);
      Array y = numbers<TestType>(device, Shape{7, C}, into_b ? 2 : 1);
      if (broadcast)
        device.run(op::Add{y, row, y});
      else if (into_b)
        device.run(op::Add{a, y, y});
      else
        device.run(op::Add{y, b, y});
      return y;
    };
    const Array into_a = same_on_all_lanes([&](Device& d) { return compute(d, false, false); });
    const Array into_b = same_on_all_lanes([&](Device& d) { return compute(d, false, true); });
    const Array rows = same_on_all_lanes([&](Device& d) { return compute(d, true, false); });
    for (int64_t i = 0; i < 7 * C; ++i) {
      const TestType ai = a.as<TestType>()[i];
      REQUIRE(into_a.as<TestType>()[i] == ai + b.as<TestType>()[i]);
      REQUIRE(into_b.as<TestType>()[i] == ai + b.as<TestType>()[i]);
      REQUIRE(rows.as<TestType>()[i] == ai + row.as<TestType>()[i % C]);
    }
  }
}

// erf: the argument x/√2 carries 2 roundings, which move erf by at most 2u max_z |z erf'(z)| < u;
// erf itself is good to 1.5 units in the last place, 3u; then 1 + erf (at most 2) is rounded, 2u at
// most, and x/2 times that, u |y| <= 2u |x/2|. In all |x|/2 8u = 4u |x|.
// tanh: y = x / (1 + e^t). t carries 5 roundings, so e^t is off by a factor e^(5u|t|) and by its
// own error of 5 units, 10u; two more roundings: |y| u ((5|t| + 10) e^t / (1 + e^t) + 2), and 10%
// more for second order. Where e^t overflows the float, y is off by at most |x| / the largest
// float.
template <class Real>
double gelu_bound(ActivationKind kind, Exact x, Exact y) {
  const Exact u = unit_roundoff(dtype_of<Real>);
  if (kind == ActivationKind::gelu) return static_cast<double>(4 * u * std::abs(x));
  const Exact t = std::abs(2 * 0.7978845608028653559L * (x + 0.044715L * x * x * x));
  const Exact clamped = std::abs(x) / std::exp(Exact(sizeof(Real) == 4 ? 88 : 708));
  return static_cast<double>(1.1L * std::abs(y) * u * ((5 * t + 10) + 2) + clamped);
}

TEMPLATE_TEST_CASE("gelu: both kinds within the bound of their formulas, in place too", "", float,
                   double) {
  for (const ActivationKind kind : {ActivationKind::gelu, ActivationKind::gelu_tanh}) {
    for (const int64_t count : {1, 3, 17, 31, 65, 20001}) {
      Array x;
      const Array y = same_on_all_lanes([&](Device& device) {
        x = numbers<TestType>(device, Shape{count}, 5);
        for (int64_t i = 0; i < count; ++i) x.as<TestType>()[i] *= TestType(12);
        Array in_place = device.allocate(x.dtype(), x.shape());
        device.copy(x.data(), in_place.data(), x.bytes());
        device.run(op::Activation{kind, in_place, in_place});
        return in_place;
      });
      int64_t wrong = 0;
      for (int64_t i = 0; i < count; ++i) {
        const Exact v = static_cast<Exact>(x.as<TestType>()[i]);
        const Exact inner = 0.7978845608028653559L * (v + 0.044715L * v * v * v);
        const Exact exact = kind == ActivationKind::gelu
                                ? v / 2 * (1 + std::erf(v * 0.7071067811865475244L))
                                : v / (1 + std::exp(-2 * inner));
        const double bound = gelu_bound<TestType>(kind, v, exact);
        if (!within(static_cast<double>(y.as<TestType>()[i]), exact, bound)) ++wrong;
      }
      CHECK(wrong == 0);
    }
  }
}

// With M = mean |x|: the mean is off by δ <= γ_C M, so each x - mean by δ and one rounding; the
// variance, since the deviations sum to 0, by δ² and a factor 1 + γ_{C+4}; and scale = 1/√(var +
// eps) by the relative ρ = (γ_{C+4} + δ²/(var + eps)) / 2 + 4u. So
// |error of y| <= |w| scale (|x - mean| (ρ + 4u) + δ) + u |y|, and 10% more for second order.
template <class Real>
void check_layer_norm(int64_t C, bool with_bias) {
  constexpr double kEps = 1e-5;
  constexpr int64_t kRows = 5;
  Array x, weight, bias;
  const Array y = same_on_all_lanes([&](Device& device) {
    x = numbers<Real>(device, Shape{kRows, C}, 1);
    weight = numbers<Real>(device, Shape{C}, 2);
    bias = numbers<Real>(device, Shape{C}, 3);
    Array in_place = numbers<Real>(device, Shape{kRows, C}, 1);
    device.run(op::LayerNorm{in_place, weight, with_bias ? bias : Array(), kEps, in_place});
    return in_place;
  });
  const Exact u = unit_roundoff(x.dtype());
  for (int64_t r = 0; r < kRows; ++r) {
    const Real* const row = x.as<Real>() + r * C;
    Exact mean = 0, size = 0, variance = 0;
    for (int64_t c = 0; c < C; ++c) {
      mean += static_cast<Exact>(row[c]) / C;
      size += std::abs(static_cast<Exact>(row[c])) / C;
    }
    for (int64_t c = 0; c < C; ++c) variance += (row[c] - mean) * (row[c] - mean) / C;
    const Exact delta = gamma_of<Real>(C) * size, under = variance + Exact(kEps);
    const Exact rho = (gamma_of<Real>(C + 4) + delta * delta / under) / 2 + 4 * u;
    for (int64_t c = 0; c < C; ++c) {
      const Exact w = weight.as<Real>()[c], scale = 1 / std::sqrt(under), d = row[c] - mean;
      const Exact exact = d * scale * w + (with_bias ? bias.as<Real>()[c] : Real(0));
      const Exact bound = std::abs(w) * scale * (std::abs(d) * (rho + 4 * u) + delta);
      REQUIRE(within(static_cast<double>(y.as<Real>()[r * C + c]), exact,
                     static_cast<double>(1.1L * (bound + u * std::abs(exact)))));
    }
  }
}

TEMPLATE_TEST_CASE("layer_norm: within the bound of two passes, in place too", "", float, double) {
  for (const int64_t C : {1, 3, 17, 31, 65, 3001}) {
    check_layer_norm<TestType>(C, true);
    check_layer_norm<TestType>(C, false);
  }
}

// With range = max - min of a row: each exp's argument is off by u range, its value by 10u, the sum
// of runs of 256 by γ_16 and the rest is in double; the logarithm turns relative errors into
// absolute ones. 10% more for second order.
TEMPLATE_TEST_CASE("cross_entropy: the mean over rows with a target, within its bound", "", float,
                   double) {
  for (const int64_t V : {1, 3, 17, 65, 5003}) {
    const std::vector<int32_t> targets{0, -1, static_cast<int32_t>(V - 1),
                                       static_cast<int32_t>(V / 2)};
    for (const int lanes : {1, 3}) {
      Team team(lanes);
      const auto device = make_cpu_device(team.crew());
      const Array logits = numbers<TestType>(*device, Shape{4, V}, 1);
      for (int64_t i = 0; i < logits.count(); ++i) logits.as<TestType>()[i] *= TestType(20);
      Exact exact = 0;
      for (int64_t r = 0; r < 4; ++r) {
        if (targets[static_cast<size_t>(r)] < 0) continue;
        const TestType* const row = logits.as<TestType>() + r * V;
        Exact sum = 0;
        for (int64_t v = 0; v < V; ++v) sum += std::exp(static_cast<Exact>(row[v]));
        exact += (std::log(sum) - row[targets[static_cast<size_t>(r)]]) / 3;
      }
      const double bound =
          1.1 * (unit_roundoff(logits.dtype()) * (40 + 10) + gamma_of<TestType>(16)) +
          8 * 0x1p-53 * (1 + std::abs(static_cast<double>(exact)));
      CHECK(within(cross_entropy(*device, logits, targets), exact, bound));
      logits.as<TestType>()[2 * V] = nan_of<TestType>();
      CHECK(std::isnan(cross_entropy(*device, logits, targets)));
    }
  }
}

}  // namespace
}  // namespace tplab
