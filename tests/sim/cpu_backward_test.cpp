// The CPU device's gradients against naive loops, with derived bounds, and finite differences.
#include <catch2/catch.hpp>
#include <limits>

#include "tests/sim/lanes.h"

namespace tplab {
namespace {

template <class Real>
Exact at(const Array& x, int64_t i) {
  return static_cast<Exact>(x.as<Real>()[i]);
}

// Counts the elements i of `got`, [rows, cols], that are further than γ_{n+1} (|start_i| + Σ
// |terms|) from start_i + Σ terms, term(row, col, j) being the j-th of n: at most n + 1 roundings
// touch a term, in any order (Higham 2002, section 3.1). start may be null.
template <class Real, class F>
int64_t wrong_sums(const Array& got, int64_t rows, int64_t cols, int64_t n, const Array* start,
                   F term) {
  int64_t wrong = 0;
  for (int64_t i = 0; i < rows * cols; ++i) {
    Exact exact = start ? at<Real>(*start, i) : 0, size = std::abs(exact);
    for (int64_t j = 0; j < n; ++j) {
      const Exact t = term(i / cols, i % cols, j);
      exact += t;
      size += std::abs(t);
    }
    const double bound = gamma_of<Real>(n + 1) * static_cast<double>(size);
    if (!within(static_cast<double>(at<Real>(got, i)), exact, bound)) ++wrong;
  }
  return wrong;
}

template <class Real>
void check_linear(int64_t rows, int64_t K, int64_t N) {
  INFO("rows " << rows << " K " << K << " N " << N);
  Array x, w, dy, start;
  const std::vector<Array> got = same_on_all_lanes([&](Device& device) {
    x = numbers<Real>(device, Shape{rows, K}, 1);
    w = numbers<Real>(device, Shape{N, K}, 2);
    dy = numbers<Real>(device, Shape{rows, N}, 3);
    start = numbers<Real>(device, Shape{N, K}, 4);
    Array dx = device.allocate(dtype_of<Real>, Shape{rows, K});
    std::fill_n(dx.as<Real>(), dx.count(), std::numeric_limits<Real>::quiet_NaN());
    Array dw = numbers<Real>(device, Shape{N, K}, 4), db = numbers<Real>(device, Shape{N}, 4);
    device.run(op::LinearBackwardInput{dy, w, dx});
    device.run(op::LinearBackwardWeight{dy, x, dw});
    device.run(op::SumRows{dy, db});
    return std::vector<Array>{dx, dw, db};
  });
  CHECK(wrong_sums<Real>(got[0], rows, K, N, nullptr, [&](int64_t r, int64_t k, int64_t n) {
          return at<Real>(dy, r * N + n) * at<Real>(w, n * K + k);
        }) == 0);
  CHECK(wrong_sums<Real>(got[1], N, K, rows, &start, [&](int64_t n, int64_t k, int64_t r) {
          return at<Real>(dy, r * N + n) * at<Real>(x, r * K + k);
        }) == 0);
  CHECK(wrong_sums<Real>(got[2], 1, N, rows, &start, [&](int64_t, int64_t n, int64_t r) {
          return at<Real>(dy, r * N + n);
        }) == 0);
}

TEMPLATE_TEST_CASE("linear's gradients: within the bound of their sums, added to dw and db", "",
                   float, double) {
  for (const int64_t rows : {1, 2, 7, 9, 17, 65}) {
    for (const int64_t size : {1, 3, 17, 31, 65}) {
      check_linear<TestType>(rows, size, 33);
      check_linear<TestType>(rows, 19, size);
    }
  }
  check_linear<TestType>(1, 300, 1000);  // large enough for all lanes, then for several tiles
  check_linear<TestType>(70, 130, 520);
  check_linear<TestType>(1030, 21, 801);
  check_linear<TestType>(33, 801, 1030);
  check_linear<TestType>(9, 17, 4001);
  check_linear<TestType>(2050, 17, 9);
}

// NaN must come through: a product that skipped zeros, or read a neighbour's rows, would differ.
TEMPLATE_TEST_CASE("linear's gradients: NaN in dy reaches its own row of dx and of dw alone", "",
                   float, double) {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  for (const int64_t rows : {4, 40, 600}) {
    Array dy = numbers<TestType>(*device, Shape{rows, 50}, 1);
    dy.as<TestType>()[3 * 50 + 49] = std::numeric_limits<TestType>::quiet_NaN();
    const Array w = numbers<TestType>(*device, Shape{50, 35}, 2);
    const Array x = numbers<TestType>(*device, Shape{rows, 35}, 3);
    Array dx = device->allocate(x.dtype(), x.shape());
    Array dw = numbers<TestType>(*device, w.shape(), 4);
    device->run(op::LinearBackwardInput{dy, w, dx});
    device->run(op::LinearBackwardWeight{dy, x, dw});
    int64_t wrong = 0;
    for (int64_t i = 0; i < dx.count(); ++i) {
      if (std::isnan(dx.as<TestType>()[i]) != (i / 35 == 3)) ++wrong;
    }
    for (int64_t i = 0; i < dw.count(); ++i) {
      if (std::isnan(dw.as<TestType>()[i]) != (i / 35 == 49)) ++wrong;
    }
    CHECK(wrong == 0);
  }
}

// erf: slope = Φ + xφ. Φ is off by 3u (gelu_bound in cpu_device_test.cpp, halved); φ = c e^-t with
// t = x²/2 rounded once, so that it is off by the factor (t + 10 + 2) u; the sum rounds once.
// tanh: slope = s + x w s (1 - s), s = 1 / (1 + e^a), w = 2u'. a carries 5 roundings, so s is off
// by σ = s ((5|a| + 10)(1 - s) + 2) u, and 1 - s by σ + u (1 - s); w carries 5, the products 3.
// Both: the product with dy rounds once more; 10% for second order; and exp stops at e^-88 or
// e^-708.
template <class Real>
double slope_bound(ActivationKind kind, Exact x, Exact slope) {
  const Exact u = unit_roundoff(dtype_of<Real>);
  const Exact least = std::exp(Exact(sizeof(Real) == 4 ? -87 : -707));
  if (kind == ActivationKind::gelu) {
    const Exact t = x * x / 2, second = std::abs(x) * std::exp(-t) * 0.3989422804014327L;
    return static_cast<double>(1.1L * u * (3 + second * (t + 12) + 2 * std::abs(slope)) +
                               std::abs(x) * least);
  }
  const Exact c = 2 * 0.7978845608028653559L, a = -c * (x + 0.044715L * x * x * x);
  const Exact w = c * (1 + 3 * 0.044715L * x * x), s = 1 / (1 + std::exp(a));
  const Exact rest = 1 / (1 + std::exp(-a));
  const Exact sigma = s * ((5 * std::abs(a) + 10) * rest + 2) * u;
  return static_cast<double>(
      1.1L * (sigma + std::abs(x * w) * (sigma + u * s * rest * 9) + 2 * u * std::abs(slope)) +
      (1 + std::abs(x * w)) * least);
}

TEMPLATE_TEST_CASE("gelu_backward: both kinds within the bound of their formulas, in place too", "",
                   float, double) {
  for (const ActivationKind kind : {ActivationKind::gelu, ActivationKind::gelu_tanh}) {
    for (const int64_t count : {1, 3, 17, 31, 65, 20001}) {
      Array x, dy;
      const Array dx = same_on_all_lanes([&](Device& device) {
        x = numbers<TestType>(device, Shape{count}, 5);
        for (int64_t i = 0; i < count; ++i) x.as<TestType>()[i] *= TestType(12);
        dy = numbers<TestType>(device, Shape{count}, 6);
        Array in_place = numbers<TestType>(device, Shape{count}, 6);
        device.run(op::ActivationBackward{kind, x, in_place, in_place});
        return in_place;
      });
      int64_t wrong = 0;
      for (int64_t i = 0; i < count; ++i) {
        const Exact v = at<TestType>(x, i), c = 2 * 0.7978845608028653559L;
        const Exact s = 1 / (1 + std::exp(-c * (v + 0.044715L * v * v * v)));
        const Exact rest = 1 / (1 + std::exp(c * (v + 0.044715L * v * v * v)));
        const Exact slope = kind == ActivationKind::gelu
                                ? (1 + std::erf(v * 0.7071067811865475244L)) / 2 +
                                      v * std::exp(-v * v / 2) * 0.3989422804014326779L
                                : s + v * c * (1 + 3 * 0.044715L * v * v) * s * rest;
        const Exact g = at<TestType>(dy, i);
        const double bound = slope_bound<TestType>(kind, v, slope) * std::abs(double(g));
        if (!within(static_cast<double>(at<TestType>(dx, i)), g * slope, bound)) ++wrong;
      }
      CHECK(wrong == 0);
    }
  }
}

TEMPLATE_TEST_CASE("gelu_backward: NaN in x or dy comes out, and nowhere else", "", float, double) {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  for (const ActivationKind kind : {ActivationKind::gelu, ActivationKind::gelu_tanh}) {
    Array x = numbers<TestType>(*device, Shape{37}, 1), dy = numbers<TestType>(*device, {37}, 2);
    x.as<TestType>()[5] = dy.as<TestType>()[36] = std::numeric_limits<TestType>::quiet_NaN();
    Array dx = device->allocate(x.dtype(), x.shape());
    device->run(op::ActivationBackward{kind, x, dy, dx});
    for (int64_t i = 0; i < 37; ++i) {
      CHECK(std::isnan(dx.as<TestType>()[i]) == (i == 5 || i == 36));
    }
  }
}

// The errors of mean and scale are δ and ρ as in check_layer_norm of cpu_device_test.cpp, so n is
// off by e = scale (|x - mean| (ρ + 3u) + δ). g rounds once; mean(g) is off by γ_{C+2} mean|g|;
// mean(g n) by γ_{C+4} mean|g n| + mean(|g| e) =: η. Then
//   |error of dx| <= scale (4u (|g| + |mean g| + |n mean(g n)|) + γ_{C+2} mean|g|
//                           + e |mean(g n)| + |n| η) + (ρ + 2u) |dx|
//   |error of dweight| <= γ_{rows+3} (|start| + Σ |dy n|) + Σ |dy| e
// and 10% more for second order.
template <class Real>
void check_layer_norm(int64_t rows, int64_t C) {
  INFO("rows " << rows << " C " << C);
  constexpr double kEps = 1e-5;
  Array x, weight, dy, start;
  const std::vector<Array> got = same_on_all_lanes([&](Device& device) {
    x = numbers<Real>(device, Shape{rows, C}, 1);
    weight = numbers<Real>(device, Shape{C}, 2);
    dy = numbers<Real>(device, Shape{rows, C}, 3);
    start = numbers<Real>(device, Shape{C}, 4);
    Array dx = numbers<Real>(device, Shape{rows, C}, 3);  // in place of dy
    Array dweight = numbers<Real>(device, Shape{C}, 4), dbias = numbers<Real>(device, Shape{C}, 4);
    device.run(op::LayerNormBackward{x, weight, kEps, dx, dx, dweight, dbias});
    Array other = device.allocate(x.dtype(), x.shape());
    Array again = numbers<Real>(device, Shape{C}, 4);
    device.run(op::LayerNormBackward{x, weight, kEps, dy, other, again, {}});
    CHECK(same_bits(other, dx));
    CHECK(same_bits(again, dweight));
    return std::vector<Array>{dx, dweight, dbias};
  });
  const Exact u = unit_roundoff(x.dtype());
  std::vector<Exact> sum(static_cast<size_t>(C)), size(sum), off(sum);
  int64_t wrong = 0;
  for (int64_t r = 0; r < rows; ++r) {
    Exact mean = 0, mean_size = 0, variance = 0;
    for (int64_t c = 0; c < C; ++c) {
      mean += at<Real>(x, r * C + c) / C;
      mean_size += std::abs(at<Real>(x, r * C + c)) / C;
    }
    for (int64_t c = 0; c < C; ++c) {
      variance += (at<Real>(x, r * C + c) - mean) * (at<Real>(x, r * C + c) - mean) / C;
    }
    const Exact under = variance + Exact(kEps), scale = 1 / std::sqrt(under);
    const Exact delta = gamma_of<Real>(C) * mean_size;
    const Exact rho = (gamma_of<Real>(C + 4) + delta * delta / under) / 2 + 4 * u;
    const auto n_of = [&](int64_t c) { return (at<Real>(x, r * C + c) - mean) * scale; };
    const auto e_of = [&](int64_t c) { return std::abs(n_of(c)) * (rho + 3 * u) + scale * delta; };
    const auto g_of = [&](int64_t c) { return at<Real>(dy, r * C + c) * at<Real>(weight, c); };
    Exact g_mean = 0, g_size = 0, gn_mean = 0, gn_size = 0, ge = 0;
    for (int64_t c = 0; c < C; ++c) {
      g_mean += g_of(c) / C;
      g_size += std::abs(g_of(c)) / C;
      gn_mean += g_of(c) * n_of(c) / C;
      gn_size += std::abs(g_of(c) * n_of(c)) / C;
      ge += std::abs(g_of(c)) * e_of(c) / C;
    }
    const Exact eta = gamma_of<Real>(C + 4) * gn_size + ge;
    for (int64_t c = 0; c < C; ++c) {
      const Exact n = n_of(c), g = g_of(c), exact = scale * (g - g_mean - n * gn_mean);
      const Exact bound =
          scale *
              (4 * u * (std::abs(g) + std::abs(g_mean) + std::abs(n * gn_mean)) +
               gamma_of<Real>(C + 2) * g_size + e_of(c) * std::abs(gn_mean) + std::abs(n) * eta) +
          (rho + 2 * u) * std::abs(exact);
      if (!within(static_cast<double>(at<Real>(got[0], r * C + c)), exact, double(1.1L * bound))) {
        ++wrong;
      }
      const auto i = static_cast<size_t>(c);
      sum[i] += at<Real>(dy, r * C + c) * n;
      size[i] += std::abs(at<Real>(dy, r * C + c) * n);
      off[i] += std::abs(at<Real>(dy, r * C + c)) * e_of(c);
    }
  }
  for (int64_t c = 0; c < C; ++c) {
    const auto i = static_cast<size_t>(c);
    const Exact first = at<Real>(start, c);
    const Exact bound = gamma_of<Real>(rows + 3) * (std::abs(first) + size[i]) + off[i];
    if (!within(static_cast<double>(at<Real>(got[1], c)), first + sum[i], double(1.1L * bound))) {
      ++wrong;
    }
  }
  CHECK(wrong == 0);
  CHECK(wrong_sums<Real>(got[2], 1, C, rows, &start, [&](int64_t, int64_t c, int64_t r) {
          return at<Real>(dy, r * C + c);
        }) == 0);
}

TEMPLATE_TEST_CASE("layer_norm_backward: within its bound, in place too, dbias absent too", "",
                   float, double) {
  for (const int64_t C : {1, 3, 17, 31, 65, 3001}) {
    for (const int64_t rows : {1, 5, 67}) check_layer_norm<TestType>(rows, C);
  }
}

TEMPLATE_TEST_CASE("embedding_backward: adds each row where its id is, foreign ids nowhere", "",
                   float, double) {
  for (const int64_t C : {1, 3, 17, 65, 5000}) {
    const std::vector<int32_t> ids{7, 12, 9, 7, -1, 6, 7, 100, 11};
    constexpr int64_t kFirst = 7, kRows = 5;  // the table holds 7 .. 11
    Array dy, start;
    const Array got = same_on_all_lanes([&](Device& device) {
      dy = numbers<TestType>(device, Shape{9, C}, 1);
      start = numbers<TestType>(device, Shape{kRows, C}, 2);
      Array dtable = numbers<TestType>(device, Shape{kRows, C}, 2);
      device.run(op::EmbeddingBackward{ids_of(device, ids), dy, kFirst, dtable});
      return dtable;
    });
    for (int64_t i = 0; i < got.count(); ++i) {
      TestType expected = start.as<TestType>()[i];
      for (int64_t r = 0; r < 9; ++r) {
        if (ids[static_cast<size_t>(r)] - kFirst == i / C) {
          expected += dy.as<TestType>()[r * C + i % C];
        }
      }
      REQUIRE(got.as<TestType>()[i] == expected);
    }
  }
}

TEMPLATE_TEST_CASE("gelu: far from 0 it is 0 or x, and its slope 0 or 1, as large as x may be", "",
                   float, double) {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  const auto largest = std::numeric_limits<TestType>::max();
  for (const ActivationKind kind : {ActivationKind::gelu, ActivationKind::gelu_tanh}) {
    Array x = numbers<TestType>(*device, Shape{8}, 1), y = device->allocate(x.dtype(), {8});
    const TestType sizes[] = {100, TestType(1e13), TestType(1e30), largest};
    for (int64_t i = 0; i < 8; ++i) x.as<TestType>()[i] = i < 4 ? -sizes[i] : sizes[i - 4];
    device->run(op::Activation{kind, x, y});
    Array dx = numbers<TestType>(*device, Shape{8}, 2);
    const Array dy = numbers<TestType>(*device, Shape{8}, 2);
    device->run(op::ActivationBackward{kind, x, dx, dx});
    for (int64_t i = 0; i < 8; ++i) {
      INFO(x.as<TestType>()[i]);
      CHECK(y.as<TestType>()[i] == (i < 4 ? 0 : x.as<TestType>()[i]));
      const double slope = double(dx.as<TestType>()[i]) / double(dy.as<TestType>()[i]);
      CHECK(std::abs(slope - (i < 4 ? 0 : 1)) < 1e-30);
    }
  }
}

TEST_CASE("gradients of linear, gelu and layer_norm agree with finite differences") {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  const auto zeros = [&](const Shape& shape) {
    Array x = device->allocate(DType::f64, shape);
    device->zero(x);
    return x;
  };
  Array x = numbers<double>(*device, Shape{11, 19}, 1), w = numbers<double>(*device, {13, 19}, 2);
  const Array dy = numbers<double>(*device, Shape{11, 13}, 3);
  Array y = zeros({11, 13}), dx = zeros({11, 19}), dw = zeros({13, 19});
  const auto linear = [&] {
    device->run(op::Linear{x, w, {}, y});
    return weighted_sum(y, dy);
  };
  device->run(op::LinearBackwardInput{dy, w, dx});
  device->run(op::LinearBackwardWeight{dy, x, dw});
  check_derivative(x, dx, linear);
  check_derivative(w, dw, linear);

  const Array dz = numbers<double>(*device, Shape{11, 19}, 4);
  Array z = zeros({11, 19});
  for (const ActivationKind kind : {ActivationKind::gelu, ActivationKind::gelu_tanh}) {
    device->run(op::ActivationBackward{kind, x, dz, dx});
    check_derivative(x, dx, [&] {
      device->run(op::Activation{kind, x, z});
      return weighted_sum(z, dz);
    });
  }

  Array weight = numbers<double>(*device, Shape{19}, 5), bias = numbers<double>(*device, {19}, 6);
  Array dweight = zeros({19}), dbias = zeros({19});
  const auto layer_norm = [&] {
    device->run(op::LayerNorm{x, weight, bias, 1e-2, z});
    return weighted_sum(z, dz);
  };
  device->run(op::LayerNormBackward{x, weight, 1e-2, dz, dx, dweight, dbias});
  check_derivative(x, dx, layer_norm);
  check_derivative(weight, dweight, layer_norm);
  check_derivative(bias, dbias, layer_norm);
}

}  // namespace
}  // namespace tplab
