#include "verify/truth.h"

#include <algorithm>
#include <cmath>

#include "verify/compare.h"

namespace tplab {

std::vector<double> whole_parameter(const WeightSource& source, const std::string& name) {
  for (const ParameterInfo& p : parameters(source.config())) {
    if (p.name != name) continue;
    const Slice all{{{0, p.shape[0]}}, {0, p.shape.size() == 2 ? p.shape[1] : 1}};
    std::vector<double> values(static_cast<size_t>(all.count()));
    source.read(name, all, {DType::f64, values.data(), all.count()});
    return values;
  }
  return {};
}

double loss_rounding(double loss, int64_t vocab, int64_t positions) {
  constexpr double kFunctions = 4;  // exp, log, the difference, the mean
  const auto V = static_cast<double>(vocab), n = static_cast<double>(positions);
  return unit_roundoff(DType::f64) * (V + (n + kFunctions) * std::abs(loss));
}

Truth::Truth(const WeightSource& source, const Tokens& tokens, const std::vector<int32_t>& targets,
             const std::function<void(const std::string&)>& progress) {
  const Weights weights = [&](const std::string& name) { return whole_parameter(source, name); };
  const TokenBatch batch{tokens.batch,
                         tokens.length,
                         {tokens.ids.begin(), tokens.ids.end()},
                         {targets.begin(), targets.end()}};

  progress("reference, f64");
  const Reference<double> exact(source.config(), weights);
  loss_ = exact
              .forward(batch,
                       [&](Activation a) {
                         std::string site = a.site;
                         activations_.emplace(std::move(site), std::move(a));
                       })
              .loss;

  if (loss_)
    loss_rounding_ =
        loss_rounding(*loss_, source.config().vocab_size, tokens.batch * tokens.length);

  progress("reference, f32, for the bounds");
  const Reference<float> rounded(source.config(), weights);
  (void)rounded.forward(batch, [&](Activation a) {
    const Difference d = compare(a.values, activations_.at(a.site).values, a.shape);
    dense_error_[a.site] = {d.rms_rel, d.max_abs};
  });
}

const Activation* Truth::find(const std::string& site) const {
  const auto it = activations_.find(site);
  return it == activations_.end() ? nullptr : &it->second;
}

Bound Truth::bound(const std::string& site, DType dtype) const {
  const Bound& dense = dense_error_.at(site);
  const double scale = kMargin * unit_roundoff(dtype) / unit_roundoff(DType::f32);
  return {scale * dense.rms, scale * dense.max_abs};
}

}  // namespace tplab
