#include "model/layers/rope.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>

namespace tplab {

namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

// How much of the plain frequency is kept where the scaling is part of it; the rest is divided.
double kept_by_llama3(const Rope::Scaling& s, double frequency) {
  const double turns = static_cast<double>(s.original_context) * frequency / kTwoPi;
  return std::clamp((turns - s.low_factor) / (s.high_factor - s.low_factor), 0.0, 1.0);
}

double kept_by_yarn(const Rope& rope, int64_t pair) {
  const Rope::Scaling& s = rope.scaling;
  const auto rotated = static_cast<double>(rope.rotated);
  const auto pair_of_turns = [&](double turns) {
    return rotated * std::log(static_cast<double>(s.original_context) / (kTwoPi * turns)) /
           (2 * std::log(rope.theta));
  };
  double low = pair_of_turns(s.beta_fast), high = pair_of_turns(s.beta_slow);
  if (s.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, rotated - 1);
  if (low == high) high += 0.001;  // as its authors have it
  return 1 - std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
}

}  // namespace

std::vector<double> rope_frequencies(const Rope& rope) {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < rope.rotated / 2; ++i) {
    const double f =
        std::pow(rope.theta, -2 * static_cast<double>(i) / static_cast<double>(rope.rotated));
    double kept = 1;
    switch (rope.scaling.kind) {
      case Rope::Kind::plain:
        break;
      case Rope::Kind::linear:
        kept = 0;
        break;
      case Rope::Kind::llama3:
        kept = kept_by_llama3(rope.scaling, f);
        break;
      case Rope::Kind::yarn:
        kept = kept_by_yarn(rope, i);
        break;
    }
    frequencies.push_back(kept == 1 ? f : kept * f + (1 - kept) * f / rope.scaling.factor);
  }
  return frequencies;
}

double rope_factor(const Rope& rope) {
  const bool yarn = rope.scaling.kind == Rope::Kind::yarn && rope.scaling.factor > 1;
  return yarn ? 0.1 * std::log(rope.scaling.factor) + 1 : 1;
}

Tensor<Invariant> rope_table(Rank& rank, const Rope& rope, int64_t positions, DType dtype) {
  Device& device = rank.device();
  Array table = device.allocate(accumulator(dtype), Shape{positions, rope.rotated});
  if (device.has_numbers()) {
    const std::vector<double> frequencies = rope_frequencies(rope);
    const double factor = rope_factor(rope);
    dispatch_computed(table.dtype(), [&](auto zero) {
      using Real = decltype(zero);
      std::vector<Real> numbers;
      numbers.reserve(static_cast<size_t>(table.count()));
      for (int64_t p = 0; p < positions; ++p) {
        for (const double f : frequencies)
          numbers.push_back(static_cast<Real>(factor * std::cos(static_cast<double>(p) * f)));
        for (const double f : frequencies)
          numbers.push_back(static_cast<Real>(factor * std::sin(static_cast<double>(p) * f)));
      }
      device.upload({table.dtype(), numbers.data(), std::ssize(numbers)}, table);
    });
  }
  return assume_placement<Invariant>(rank, std::move(table));
}

}  // namespace tplab
