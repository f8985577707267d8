// RMS norms on the CPU, forward and backward, against plain loops.
#include <catch2/catch.hpp>

#include "tests/sim/lanes.h"

namespace tplab {
namespace {

// With q = mean(x²) + eps, off by the factor 1 + γ_{C+3}, scale = 1/√q is off by the relative ρ =
// γ_{C+3} / 2 + 3u, and n = x scale by ρ + u. Weights w are as given, or 1 + w, which rounds.
//   |error of y| <= |y| (ρ + 4u)
// g = dy w is off by 2u, mean(g n) by η = (γ_{C+4} + 2 ρ + 4u) mean|g n|, so
//   |error of dx| <= scale (4u |g| + |n| η + (ρ + 4u) |n mean(g n)|) + (ρ + 2u) |dx|
//   |error of dweight| <= γ_{rows+3} (|start| + Σ |dy n|) + (ρ + 2u) Σ |dy n|
// and 10% more for second order.
template <class Real>
void check_rms_norm(int64_t rows, int64_t C, bool plus_one) {
  CAPTURE(rows, C, plus_one);
  constexpr double kEps = 1e-5;
  Array x, weight, dy, start;
  const std::vector<Array> got = same_on_all_lanes([&](Device& device) {
    x = numbers<Real>(device, {rows, C}, 1);
    weight = numbers<Real>(device, {C}, 2);
    dy = numbers<Real>(device, {rows, C}, 3);
    start = numbers<Real>(device, {C}, 4);
    Array y = numbers<Real>(device, {rows, C}, 1), dx = numbers<Real>(device, {rows, C}, 3);
    Array dweight = numbers<Real>(device, {C}, 4);
    device.run(op::RmsNorm{y, weight, kEps, plus_one, y});  // in place, and so is dx
    device.run(op::RmsNormBackward{x, weight, kEps, plus_one, dx, dx, dweight});
    return std::vector<Array>{y, dx, dweight};
  });
  const auto at = [](const Array& a, int64_t i) { return static_cast<Exact>(a.as<Real>()[i]); };
  const auto w = [&](int64_t c) { return at(weight, c) + (plus_one ? 1 : 0); };
  const Exact u = unit_roundoff(x.dtype()), rho = gamma_of<Real>(C + 3) / 2 + 3 * u;
  std::vector<Exact> sum(static_cast<size_t>(C)), size(sum);
  int64_t wrong = 0;
  for (int64_t r = 0; r < rows; ++r) {
    Exact squares = 0, gn_mean = 0, gn_size = 0;
    for (int64_t c = 0; c < C; ++c) squares += at(x, r * C + c) * at(x, r * C + c) / C;
    const Exact scale = 1 / std::sqrt(squares + Exact(kEps));
    for (int64_t c = 0; c < C; ++c) {
      const Exact term = at(dy, r * C + c) * w(c) * at(x, r * C + c) * scale / C;
      gn_mean += term;
      gn_size += std::abs(term);
    }
    const Exact eta = (gamma_of<Real>(C + 4) + 2 * rho + 4 * u) * gn_size;
    for (int64_t c = 0; c < C; ++c) {
      const int64_t i = r * C + c;
      const Exact n = at(x, i) * scale, g = at(dy, i) * w(c), dx = scale * (g - n * gn_mean);
      const Exact off = scale * (4 * u * std::abs(g) + std::abs(n) * eta +
                                 (rho + 4 * u) * std::abs(n * gn_mean)) +
                        (rho + 2 * u) * std::abs(dx);
      wrong += !within(static_cast<double>(at(got[0], i)), n * w(c),
                       static_cast<double>(1.1L * std::abs(n * w(c)) * (rho + 4 * u)));
      wrong += !within(static_cast<double>(at(got[1], i)), dx, static_cast<double>(1.1L * off));
      sum[static_cast<size_t>(c)] += at(dy, i) * n;
      size[static_cast<size_t>(c)] += std::abs(at(dy, i) * n);
    }
  }
  for (int64_t c = 0; c < C; ++c) {
    const Exact first = at(start, c), terms = size[static_cast<size_t>(c)];
    const Exact off = gamma_of<Real>(rows + 3) * (std::abs(first) + terms) + (rho + 2 * u) * terms;
    wrong += !within(static_cast<double>(at(got[2], c)), first + sum[static_cast<size_t>(c)],
                     static_cast<double>(1.1L * off));
  }
  CHECK(wrong == 0);
}

}  // namespace

TEMPLATE_TEST_CASE("rms_norm and its backward: within their bounds, in place, with 1 + weight too",
                   "", float, double) {
  for (const bool plus_one : {false, true}) {
    for (const int64_t C : {1, 3, 17, 31, 65, 3001}) {
      for (const int64_t rows : {1, 5, 67}) check_rms_norm<TestType>(rows, C, plus_one);
    }
  }
}

TEST_CASE("rms_norm's gradients agree with finite differences") {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  Array x = numbers<double>(*device, {11, 19}, 1), weight = numbers<double>(*device, {19}, 2);
  const Array dy = numbers<double>(*device, {11, 19}, 3);
  Array y = device->allocate(DType::f64, x.shape()), dx = device->allocate(DType::f64, x.shape());
  for (const bool plus_one : {false, true}) {
    Array dweight = device->allocate(DType::f64, {19});
    device->zero(dweight);
    device->run(op::RmsNormBackward{x, weight, 1e-2, plus_one, dy, dx, dweight});
    const auto norm = [&] {
      device->run(op::RmsNorm{x, weight, 1e-2, plus_one, y});
      return weighted_sum(y, dy);
    };
    check_derivative(x, dx, norm);
    check_derivative(weight, dweight, norm);
  }
}

}  // namespace tplab
