#include "verify/draws.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "verify/parallel.h"
#include "verify/reference/eigen.h"

namespace tplab {

namespace {

// How many multiplications take as long as drawing a number, or comparing two.
constexpr int64_t kNoise = 16, kCompare = 8;

}  // namespace

int draws_for(const Architecture& architecture, int64_t positions) {
  return static_cast<int>(std::clamp<int64_t>(256 / architecture.width, positions < 8 ? 4 : 2, 32));
}

std::string drawing(DType dtype, int draw, int draws) {
  return fmt::format("rounding in {}, draw {} of {}", name(dtype), draw + 1, draws);
}

std::function<std::vector<double>(const std::string&)> rough_weights(
    const std::function<std::vector<double>(const std::string&)>& weights, DType dtype, int draw) {
  return [weights, dtype, draw](const std::string& name) {
    const DType computed = accumulator(dtype);
    const double roundoff =
        computed == DType::f32 ? Rough<DType::f32>::kRoundoff : Rough<DType::f64>::kRoundoff;
    std::vector<double> values = weights(name);
    for_each_stretch(std::ssize(values), kNoise, [&](int64_t first, int64_t count) {
      double place = static_cast<double>(draw + 1) + 64 * static_cast<double>(first);
      for (double& value :
           std::span(values).subspan(static_cast<size_t>(first), static_cast<size_t>(count))) {
        if (computed == DType::f32) value = static_cast<float>(value);
        value += 0x1p-8 * roundoff * value * noise_of(place += 64);
      }
    });
    return values;
  };
}

Bound scaled(const Bound& bound, DType from, DType to) {
  const double scale = unit_roundoff(to) / unit_roundoff(from);
  return {scale * bound.rms, scale * bound.max_abs};
}

double relative(double error, double size) { return error == 0 ? 0 : error / size; }

void DrawnErrors::add(const std::string& name, std::span<const double> drawn,
                      std::span<const double> exact) {
  using Eigen::ArrayXd;
  using Part = Eigen::Map<const ArrayXd>;
  struct Sums {
    double error2 = 0, exact2 = 0, largest = 0;
  };
  const auto count = std::ssize(exact);
  std::vector<Sums> parts(static_cast<size_t>((count + kStretch - 1) / kStretch));
  for_each_stretch(count, kCompare, [&](int64_t first, int64_t n) {
    const Part a(drawn.data() + first, n), b(exact.data() + first, n);
    const ArrayXd error = (a == b).select(0.0, (a - b).abs());  // equal infinities
    parts[static_cast<size_t>(first / kStretch)] = {
        error.square().sum(), b.isFinite().select(b, 0.0).square().sum(), error.maxCoeff()};
  });
  Sums all;
  for (const Sums& part : parts) {
    all.error2 += part.error2;
    all.exact2 += part.exact2;
    all.largest = std::max(all.largest, part.largest);
  }
  if (std::isnan(all.error2)) all.largest = all.error2;
  Squares& s = squares_[name];
  s.rms += all.error2 == 0 ? 0 : all.error2 / all.exact2;
  s.max_abs += all.largest * all.largest;
  ++s.draws;
}

double DrawnErrors::scale() const {
  return dtype_ == DType::f64 ? kMargin * unit_roundoff(DType::f64) / Rough<DType::f64>::kRoundoff
                              : kMargin;
}

Bound DrawnErrors::bound(const std::string& name) const {
  const Squares& s = squares_.at(name);
  return {scale() * std::sqrt(s.rms / s.draws), scale() * std::sqrt(s.max_abs / s.draws)};
}

}  // namespace tplab
