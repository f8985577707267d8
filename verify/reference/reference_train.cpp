// AdamW and clipping for the reference, written from their papers and PyTorch's documentation.
#include "verify/reference/reference_train.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "sim/error.h"
#include "verify/parallel.h"
#include "verify/reference/reference_network.h"

namespace tplab {
namespace {

// Of parameters with two dimensions: all but biases and layer norms' weights.
bool is_matrix(const std::string& name) {
  return !name.ends_with(".bias") && name.find("ln_") == std::string::npos;
}

// What a step's number decides.
struct Step {
  double learning_rate, bias_correction1, bias_correction2;
};

// One AdamW step of one parameter, given its clipped gradient's factor.
template <class Real>
void update_one(TrainedParameter<Real>& p, const std::vector<double>& gradient, Real clip,
                const Step& step, const TrainRecipe& recipe, std::vector<double>* divisors) {
  using std::sqrt;  // and Rough's
  const Real beta1 = recipe.beta1, beta2 = recipe.beta2, eps = recipe.eps;
  const Real keep = p.decays ? 1 - step.learning_rate * recipe.weight_decay : 1.0;
  const Real size = step.learning_rate / step.bias_correction1;
  const Real root = std::sqrt(step.bias_correction2);
  const Real rest1 = 1 - recipe.beta1, rest2 = 1 - recipe.beta2;
  p.m.resize(p.value.size());
  p.v.resize(p.value.size());
  if (divisors) divisors->resize(p.value.size());
  constexpr int64_t kUpdate = 32;  // multiplications that take as long as one
  for_each_stretch(std::ssize(p.value), kUpdate, [&](int64_t first, int64_t n) {
    for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(first + n); ++i) {
      const Real g = gradient[i] * clip;
      p.m[i] = beta1 * p.m[i] + rest1 * g;
      p.v[i] = beta2 * p.v[i] + rest2 * g * g;
      const Real divisor = sqrt(p.v[i]) / root + eps;
      p.value[i] = p.value[i] * keep - size * p.m[i] / divisor;
      if (divisors) (*divisors)[i] = static_cast<double>(divisor);
    }
  });
}

}  // namespace

double global_norm(const ReferenceGradients& d) {
  double sum = 0;
  for (const auto& [name, gradient] : d.parameters) {
    double squares = 0;
    for (const double g : gradient) squares += g * g;
    const double norm = std::sqrt(squares);
    sum += norm * norm;
  }
  return std::sqrt(sum);
}

template <class Real>
ReferenceTrainer<Real>::ReferenceTrainer(const Architecture& architecture, Weights weights,
                                         TrainRecipe recipe, size_t steps, int64_t ranks)
    : architecture_(architecture),
      weights_(std::move(weights)),
      recipe_(std::move(recipe)),
      steps_(steps),
      ranks_(ranks) {
  if (!recipe_.learning_rates.empty() && recipe_.learning_rates.size() != steps)
    fail(fmt::format("{} learning rates for {} steps", recipe_.learning_rates.size(), steps),
         "give one a step, or none");
}

template <class Real>
Reference<Real> ReferenceTrainer<Real>::reference() const {
  if (parameters_.empty()) return {architecture_, weights_, ranks_};
  return {architecture_,
          [this](const std::string& name) { return dense::doubles(parameters_.at(name).value); },
          ranks_};
}

template <class Real>
ReferenceGradients ReferenceTrainer<Real>::gradients(const TokenBatch& batch) const {
  return reference().backward(batch);
}

template <class Real>
ReferenceLoss ReferenceTrainer<Real>::gradients(const TokenBatch& batch,
                                                const TakeGradient<Real>& take) const {
  return reference().backward(batch, take);
}

template <class Real>
double ReferenceTrainer<Real>::clip(double norm) const {
  if (recipe_.grad_clip <= 0) return 1;
  const double clip = recipe_.grad_clip / (norm + 1e-6);
  return clip > 1 ? 1 : clip;  // a NaN stays
}

template <class Real>
void ReferenceTrainer<Real>::update(const std::string& name, const std::vector<double>& gradient,
                                    double norm, size_t step, std::vector<double>* divisors) {
  const auto [at, is_new] = parameters_.try_emplace(name);
  TrainedParameter<Real>& p = at->second;
  if (is_new) {
    const std::vector<double> whole = weights_(name);
    p.value.assign(whole.begin(), whole.end());
    p.decays = is_matrix(name);
  }
  const Real factor = clip(norm);
  const auto t = static_cast<double>(step + 1);
  const Step numbers = {.learning_rate = recipe_.learning_rate_at(step),
                        .bias_correction1 = 1 - std::pow(recipe_.beta1, t),
                        .bias_correction2 = 1 - std::pow(recipe_.beta2, t)};
  update_one(p, gradient, factor, numbers, recipe_, divisors);
  if (step + 1 < steps_) return;
  p.m = std::vector<Real>();  // nobody asks for them again; {} would keep the memory
  p.v = std::vector<Real>();
}

ReferenceTraining train_reference(const Architecture& architecture, const Weights& weights,
                                  const std::vector<TokenBatch>& batches,
                                  const TrainRecipe& recipe) {
  if (batches.empty()) fail("there are no batches to train on", "give one a step");
  ReferenceTrainer<double> trainer(architecture, weights, recipe, batches.size());
  ReferenceTraining out;
  for (size_t i = 0; i < batches.size(); ++i) {
    const ReferenceGradients d = trainer.gradients(batches[i]);
    out.losses.push_back(d.loss);
    out.grad_norms.push_back(global_norm(d));
    for (const auto& [name, gradient] : d.parameters)
      trainer.update(name, gradient, out.grad_norms.back(), i);
  }
  for (auto& [name, p] : trainer.parameters()) out.parameters[name] = std::move(p.value);
  return out;
}

template class ReferenceTrainer<double>;
template class ReferenceTrainer<Rough<DType::f32>>;
template class ReferenceTrainer<Rough<DType::f64>>;
template class ReferenceTrainer<Rough<DType::bf16>>;

}  // namespace tplab
