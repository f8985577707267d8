#include "verify/truth.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

namespace tplab {

Weights whole_parameters(const WeightSource& source) {
  std::map<std::string, Shape> shapes;
  for (NamedTensor& p : named_tensors(source.architecture()))
    shapes.emplace(std::move(p.name), p.shape);
  return [&source, shapes = std::move(shapes)](const std::string& name) {
    const auto at = shapes.find(name);
    if (at == shapes.end()) return std::vector<double>();
    const Shape& shape = at->second;
    const Slice all{{{0, shape[0]}}, {0, cols_of(shape)}};
    std::vector<double> values(static_cast<size_t>(all.count()));
    source.read(name, all, {DType::f64, values.data(), all.count()});
    return values;
  };
}

double loss_rounding(double loss, int64_t vocab, int64_t positions, DType dtype) {
  constexpr double kExp = 10, kAdded = 20, kFunctions = 4;
  const auto V = static_cast<double>(vocab), n = static_cast<double>(positions);
  return unit_roundoff(dtype) * (kExp + std::log(V) + kAdded) +
         unit_roundoff(DType::f64) * (V + 2 * (n + kFunctions) * std::abs(loss));
}

Truth::Truth(const WeightSource& source, const Tokens& tokens, const std::vector<int32_t>& targets,
             const std::vector<DType>& dtypes, const TellProgress& progress)
    : vocab_(source.architecture().vocabulary), positions_(tokens.batch * tokens.length) {
  const Weights weights = whole_parameters(source);
  const TokenBatch batch{tokens.batch,
                         tokens.length,
                         {tokens.ids.begin(), tokens.ids.end()},
                         {targets.begin(), targets.end()}};

  progress("reference, f64");
  const Reference<double> exact(source.architecture(), weights);
  loss_ = exact
              .forward(batch,
                       [&](Activation a) {
                         std::string site = a.site;
                         activations_.emplace(std::move(site), std::move(a));
                       })
              .loss;

  for (const DType dtype : dtypes) {
    errors_.try_emplace(dtype, dtype);
    if (dtype == DType::f32) {
      draw<DType::f32>(source.architecture(), weights, batch, progress);
    } else {
      draw<DType::f64>(source.architecture(), weights, batch, progress);
    }
  }
}

template <DType dtype>
void Truth::draw(const Architecture& architecture, const Weights& weights, const TokenBatch& batch,
                 const TellProgress& progress) {
  const int draws = draws_for(architecture, batch.B * batch.T);
  for (int i = 0; i < draws; ++i) {
    progress(drawing(dtype, i, draws));
    const Reference<Rough<dtype>> rough(architecture, rough_weights(weights, dtype, i));
    (void)rough.forward(batch, [&](const Activation& a) {
      errors_.at(dtype).add(a.site, a.values, activations_.at(a.site).values);
    });
  }
}

const Activation* Truth::find(const std::string& site) const {
  const auto it = activations_.find(site);
  return it == activations_.end() ? nullptr : &it->second;
}

Bound Truth::bound(const std::string& site, DType dtype) const {
  const auto drawn = errors_.find(dtype);
  if (drawn != errors_.end()) return drawn->second.bound(site);
  return scaled(errors_.begin()->second.bound(site), errors_.begin()->first, dtype);
}

}  // namespace tplab
