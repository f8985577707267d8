#include "verify/draws.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "verify/compare.h"

namespace tplab {

int draws_for(const Architecture& architecture, int64_t positions) {
  return static_cast<int>(std::clamp<int64_t>(256 / architecture.width, positions < 8 ? 4 : 2, 32));
}

std::string drawing(DType dtype, int draw, int draws) {
  return fmt::format("rounding in {}, draw {} of {}", name(dtype), draw + 1, draws);
}

std::function<std::vector<double>(const std::string&)> rough_weights(
    const std::function<std::vector<double>(const std::string&)>& weights, DType dtype, int draw) {
  return [weights, dtype, draw](const std::string& name) {
    const double roundoff =
        dtype == DType::f32 ? Rough<DType::f32>::kRoundoff : Rough<DType::f64>::kRoundoff;
    std::vector<double> values = weights(name);
    double place = draw + 1;
    for (double& value : values) {
      if (dtype == DType::f32) value = static_cast<float>(value);
      value += 0x1p-8 * roundoff * value * noise_of(place += 64);
    }
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
  const Difference d = compare(drawn, exact, {static_cast<int64_t>(exact.size())});
  Squares& s = squares_[name];
  s.rms += d.rms_rel * d.rms_rel;
  s.max_abs += d.max_abs * d.max_abs;
  ++s.draws;
}

double DrawnErrors::scale() const {
  return dtype_ == DType::f32 ? kMargin
                              : kMargin * unit_roundoff(DType::f64) / Rough<DType::f64>::kRoundoff;
}

Bound DrawnErrors::bound(const std::string& name) const {
  const Squares& s = squares_.at(name);
  return {scale() * std::sqrt(s.rms / s.draws), scale() * std::sqrt(s.max_abs / s.draws)};
}

}  // namespace tplab
