#include "verify/truth.h"

#include <cmath>
#include <utility>

#include "verify/parallel.h"

namespace tplab {

Weights whole_parameters(const WeightSource& source) {
  std::map<std::string, Shape> shapes;
  for (NamedTensor& p : named_tensors(source.architecture()))
    shapes.emplace(std::move(p.name), p.shape);
  return [&source, shapes = std::move(shapes)](const std::string& name) {
    const auto at = shapes.find(name);
    if (at == shapes.end()) return std::vector<double>();
    const int64_t rows = at->second[0], cols = cols_of(at->second);
    std::vector<double> values(static_cast<size_t>(rows * cols));
    constexpr int64_t kNumbers = 1 << 16, kPerNumber = 4;  // multiplications that take as long
    for_each_tile(
        rows, std::max<int64_t>(1, kNumbers / cols), kPerNumber * rows * cols,
        [&](int64_t first, int64_t count) {
          const Slice part{{{first, first + count}}, {0, cols}};
          source.read(name, part, {DType::f64, values.data() + first * cols, count * cols});
        });
    return values;
  };
}

double loss_rounding(double loss, int64_t vocab, int64_t positions, DType dtype) {
  constexpr double kExp = 10, kAdded = 20, kFunctions = 4;
  const auto V = static_cast<double>(vocab), n = static_cast<double>(positions);
  return unit_roundoff(accumulator(dtype)) * (kExp + std::log(V) + kAdded) +
         unit_roundoff(DType::f64) * (V + 2 * (n + kFunctions) * std::abs(loss));
}

Bound loss_bound(const Bound& logits, double loss, int64_t vocab, int64_t positions, DType dtype) {
  return bound_of_number(2 * logits.max_abs + loss_rounding(loss, vocab, positions, dtype), loss);
}

Bound bound_of_number(double error, double value) {
  return {relative(error, std::abs(value)), error};
}

void Truth::add(const std::string& name, const Shape& shape, std::vector<double> values) {
  all_[name] = {shape, std::move(values)};
  names_.push_back(name);
}

void Truth::set_bound(const std::string& name, DType dtype, const Bound& bound) {
  all_.at(name).bounds[dtype] = bound;
}

const Expected* Truth::find(const std::string& name) const {
  const auto at = all_.find(name);
  return at == all_.end() ? nullptr : &at->second;
}

Bound Truth::bound(const std::string& name, DType dtype) const {
  const std::map<DType, Bound>& bounds = all_.at(name).bounds;
  const auto drawn = bounds.find(dtype);
  if (drawn != bounds.end()) return drawn->second;
  return scaled(bounds.begin()->second, bounds.begin()->first, dtype);
}

TokenBatch as_reference(const TrainingBatch& batch) {
  return {batch.tokens.batch,
          batch.tokens.length,
          {batch.tokens.ids.begin(), batch.tokens.ids.end()},
          {batch.targets.begin(), batch.targets.end()}};
}

ReferenceInput::ReferenceInput(const WeightSource& source, const TrainingBatch& data)
    : architecture(source.architecture()),
      weights(whole_parameters(source)),
      batch(as_reference(data)) {}

Truth forward_truth(const WeightSource& source, const TrainingBatch& data, const Drawn& drawn,
                    const TellProgress& progress) {
  const ReferenceInput input(source, data);
  progress("reference, f64");
  Truth truth;
  const Reference<double> exact(input.architecture, input.weights);
  const auto add = [&](Activation a) { truth.add(a.site, a.shape, std::move(a.values)); };
  if (const auto loss = exact.forward(input.batch, add).loss) truth.add("loss", {1}, {*loss});
  draw_bounds(input, drawn, progress, truth, [&](const auto& rough, DrawnErrors& errors) {
    (void)rough.forward(input.batch, [&](const Activation& a) {
      errors.add(a.site, a.values, truth.values(a.site));
    });
  });
  return truth;
}

}  // namespace tplab
