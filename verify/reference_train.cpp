// AdamW and clipping for the reference, written from their papers and PyTorch's documentation.
#include "verify/reference_train.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "sim/error.h"

namespace tplab {
namespace {

template <class Real>
struct Parameter {
  std::vector<Real> value, m, v;
  std::vector<double> gain;
  bool decays = false;
};

template <class Real>
using Parameters = std::map<std::string, Parameter<Real>>;

// Of parameters with two dimensions: all but biases and layer norms' weights.
bool is_matrix(const std::string& name) {
  return !name.ends_with(".bias") && name.find("ln_") == std::string::npos;
}

// Reads a parameter the first time that it is asked for.
template <class Real>
Parameter<Real>& find(Parameters<Real>& parameters, const Weights& weights,
                      const std::string& name) {
  const auto at = parameters.find(name);
  if (at != parameters.end()) return at->second;
  const std::vector<double> whole = weights(name);
  Parameter<Real> p{.value = {},
                    .m = std::vector<Real>(whole.size()),
                    .v = {},
                    .gain = std::vector<double>(whole.size()),
                    .decays = is_matrix(name)};
  p.v = p.m;
  for (const double value : whole) p.value.push_back(static_cast<Real>(value));
  return parameters.emplace(name, std::move(p)).first->second;
}

// The norm of the parameters' norms, as clip_grad_norm_ computes it.
template <class Real>
Real global_norm(const std::map<std::string, std::vector<double>>& gradients) {
  Real sum = 0;
  for (const auto& [name, gradient] : gradients) {
    Real squares = 0;
    for (const double g : gradient) squares += static_cast<Real>(g) * static_cast<Real>(g);
    const Real norm = std::sqrt(squares);
    sum += norm * norm;
  }
  return std::sqrt(sum);
}

// What a step's number decides.
struct Step {
  double learning_rate, bias_correction1, bias_correction2;
};

// One AdamW step of one parameter, given its clipped gradient's factor.
template <class Real>
void update(Parameter<Real>& p, const std::vector<double>& gradient, Real clip, const Step& step,
            const TrainRecipe& recipe) {
  const auto beta1 = static_cast<Real>(recipe.beta1), beta2 = static_cast<Real>(recipe.beta2);
  const auto eps = static_cast<Real>(recipe.eps);
  const auto keep =
      static_cast<Real>(p.decays ? 1 - step.learning_rate * recipe.weight_decay : 1.0);
  const auto size = static_cast<Real>(step.learning_rate / step.bias_correction1);
  const auto root = static_cast<Real>(std::sqrt(step.bias_correction2));
  const auto rest1 = static_cast<Real>(1 - recipe.beta1),
             rest2 = static_cast<Real>(1 - recipe.beta2);
  for (size_t i = 0; i < p.value.size(); ++i) {
    const Real g = static_cast<Real>(gradient[i]) * clip;
    p.m[i] = beta1 * p.m[i] + rest1 * g;
    p.v[i] = beta2 * p.v[i] + rest2 * g * g;
    const Real divisor = std::sqrt(p.v[i]) / root + eps;
    p.value[i] = p.value[i] * keep - size * p.m[i] / divisor;
    if (p.v[i] != 0) p.gain[i] += 2 * step.learning_rate * clip / static_cast<double>(divisor);
  }
}

}  // namespace

template <class Real>
ReferenceTraining train_reference(const GptConfig& config, const Weights& weights,
                                  const std::vector<TokenBatch>& batches,
                                  const TrainRecipe& recipe) {
  if (!recipe.learning_rates.empty() && recipe.learning_rates.size() != batches.size())
    fail(
        fmt::format("{} learning rates for {} steps", recipe.learning_rates.size(), batches.size()),
        "give one a step, or none");
  if (batches.empty()) fail("there are no batches to train on", "give one a step");
  Parameters<Real> parameters;
  const Reference<Real> reference(config, [&](const std::string& name) {
    const std::vector<Real>& value = find(parameters, weights, name).value;
    return std::vector<double>(value.begin(), value.end());
  });
  ReferenceTraining out;
  for (size_t i = 0; i < batches.size(); ++i) {
    const ReferenceGradients d = reference.backward(batches[i]);
    const Real norm = global_norm<Real>(d.parameters);
    out.losses.push_back(d.loss);
    out.grad_norms.push_back(static_cast<double>(norm));

    Real clip = 1;
    if (recipe.grad_clip > 0) {
      clip = static_cast<Real>(recipe.grad_clip) / (norm + static_cast<Real>(1e-6));
      if (clip > 1) clip = 1;  // a NaN stays
    }
    const auto t = static_cast<double>(i + 1);
    const Step step = {.learning_rate = recipe.learning_rate_at(i),
                       .bias_correction1 = 1 - std::pow(recipe.beta1, t),
                       .bias_correction2 = 1 - std::pow(recipe.beta2, t)};
    for (auto& [name, p] : parameters) update(p, d.parameters.at(name), clip, step, recipe);
  }
  for (const auto& [name, p] : parameters) {
    out.parameters[name] = {p.value.begin(), p.value.end()};
    out.gains[name] = p.gain;
  }
  return out;
}

template ReferenceTraining train_reference<double>(const GptConfig&, const Weights&,
                                                   const std::vector<TokenBatch>&,
                                                   const TrainRecipe&);
template ReferenceTraining train_reference<float>(const GptConfig&, const Weights&,
                                                  const std::vector<TokenBatch>&,
                                                  const TrainRecipe&);

}  // namespace tplab
