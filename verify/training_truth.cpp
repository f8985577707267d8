#include "verify/training_truth.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "verify/compare.h"
#include "verify/truth.h"

namespace tplab {

namespace {

TokenBatch as_reference(const TrainingBatch& batch) {
  return {batch.tokens.batch,
          batch.tokens.length,
          {batch.tokens.ids.begin(), batch.tokens.ids.end()},
          {batch.targets.begin(), batch.targets.end()}};
}

double norm_of(const std::vector<double>& values) {
  double squares = 0;
  for (double v : values) squares += v * v;
  return std::sqrt(squares);
}

}  // namespace

template <class Real>
TrainingTruth::Values TrainingTruth::run(const GptConfig& config, const Weights& weights,
                                         const std::vector<TrainingBatch>& batches,
                                         const TrainRecipe& recipe) {
  Values values;
  const ReferenceGradients gradients =
      Reference<Real>(config, weights).backward(as_reference(batches[0]), [&](const Activation& a) {
        if (a.site.ends_with("grad")) values[a.site] = a.values;
      });
  values["loss"] = {gradients.loss};
  values["logits"] = Reference<Real>(config, weights).forward(as_reference(batches[0])).logits;
  for (const auto& [name, numbers] : gradients.parameters) values["grad." + name] = numbers;

  std::vector<TokenBatch> steps;
  for (size_t i = 1; i < batches.size(); ++i) steps.push_back(as_reference(batches[i]));
  if (steps.empty()) return values;
  const ReferenceTraining training = train_reference<Real>(config, weights, steps, recipe);
  for (size_t i = 0; i < steps.size(); ++i) {
    values[fmt::format("step {}/loss", i + 1)] = {training.losses[i]};
    values[fmt::format("step {}/norm", i + 1)] = {training.grad_norms[i]};
  }
  for (const auto& [name, numbers] : training.parameters) values["after." + name] = numbers;
  if constexpr (std::is_same_v<Real, double>) gains_ = training.gains;
  return values;
}

TrainingTruth::TrainingTruth(const WeightSource& source, const std::vector<TrainingBatch>& batches,
                             const TrainRecipe& recipe,
                             const std::function<void(const std::string&)>& progress) {
  const Weights weights = [&](const std::string& name) { return whole_parameter(source, name); };
  progress("reference training, f64");
  values_ = run<double>(source.config(), weights, batches, recipe);
  progress("reference training, f32, for the bounds");
  const Values rounded = run<float>(source.config(), weights, batches, recipe);
  measure_errors(rounded);
  for (size_t i = 0; i < batches.size(); ++i) {
    positions_ = std::max(positions_, std::ssize(batches[i].targets));
    if (i > 0) turned_round_ += 5 * recipe.learning_rate_at(i - 1);
  }

  const std::vector<ParameterInfo> all = parameters(source.config());
  names_ = {"loss", "head/grad"};
  for (int64_t i = source.config().n_layer - 1; i >= 0; --i)
    names_.push_back(fmt::format("block {}/grad", i));
  names_.emplace_back("embed/grad");
  for (const ParameterInfo& p : all) {
    names_.push_back("grad." + p.name);
    parameter_count_ += std::ssize(values("grad." + p.name));
  }
  for (size_t i = 1; i < batches.size(); ++i) {
    names_.push_back(fmt::format("step {}/loss", i));
    names_.push_back(fmt::format("step {}/norm", i));
  }
  if (batches.size() > 1)
    for (const ParameterInfo& p : all) names_.push_back("after." + p.name);
}

const std::vector<double>& TrainingTruth::values(const std::string& name) const {
  return values_.at(name);
}

void TrainingTruth::measure_errors(const Values& rounded) {
  double error2 = 0, gradient2 = 0, parameter2 = 0;
  for (const auto& [name, truth] : values_) {
    const Difference d = compare(rounded.at(name), truth, {static_cast<int64_t>(truth.size())});
    dense_error_[name] = {d.rms_rel, d.max_abs};
    for (size_t i = 0; i < truth.size(); ++i) {
      const double e = rounded.at(name)[i] - truth[i];
      if (name.starts_with("after.")) parameter2 += e * e;
      if (!name.starts_with("grad.")) continue;
      error2 += e * e;
      gradient2 += truth[i] * truth[i];
    }
    if (name.ends_with("/norm")) norm_error_ = std::max(norm_error_, d.max_abs);
  }
  logit_error_ = dense_error_.at("logits").max_abs;
  gradient_error_ = std::sqrt(error2 / gradient2);
  parameter_error_ = std::sqrt(parameter2);
}

double TrainingTruth::error_of_number(const std::string& name) const {
  if (name == "loss") return 2 * logit_error_;
  const double norm = values(name.substr(0, name.find('/')) + "/norm")[0];
  if (name.ends_with("/loss")) return 2 * logit_error_ + norm * parameter_error_;
  return gradient_error_ * norm + norm_error_;
}

Bound TrainingTruth::error_of_updates(const std::string& parameter, DType dtype) const {
  const double of_gradient = bound("grad." + parameter, dtype).max_abs;
  double largest = 0, squares = 0;
  for (double gain : gains_.at(parameter)) {
    const double error = std::min(gain * of_gradient, turned_round_);
    largest = std::max(largest, error);
    squares += error * error;
  }
  return {std::sqrt(squares) / norm_of(values("after." + parameter)), largest};
}

Bound TrainingTruth::bound(const std::string& name, DType dtype) const {
  const double scale = kMargin * unit_roundoff(dtype) / unit_roundoff(DType::f32);
  if (name == "loss" || name.starts_with("step ")) {
    double error = scale * error_of_number(name);
    const double terms =
        static_cast<double>(name.ends_with("loss") ? positions_ : parameter_count_);
    error += terms * unit_roundoff(DType::f64) * values(name)[0];
    return {error / std::abs(values(name)[0]), error};
  }
  const Bound& dense = dense_error_.at(name);
  Bound bound{scale * dense.rms, scale * dense.max_abs};
  if (name.starts_with("grad.")) {
    const auto n = static_cast<double>(values(name).size());
    bound.rms = std::max(bound.rms, scale * gradient_error_);
    const double expected_largest = std::min(1.0, std::sqrt(2 * std::log(2 * n) / n));
    bound.max_abs = std::max(bound.max_abs, bound.rms * norm_of(values(name)) * expected_largest);
  }
  if (name.starts_with("after.")) {
    const Bound updates = error_of_updates(name.substr(6), dtype);
    bound.rms += updates.rms;
    bound.max_abs += updates.max_abs;
  }
  return bound;
}

}  // namespace tplab
