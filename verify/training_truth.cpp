#include "verify/training_truth.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "verify/compare.h"
#include "verify/draws.h"

namespace tplab {

namespace {

using Values = std::map<std::string, std::vector<double>>;

constexpr double kDoubleRoundoff = unit_roundoff(DType::f64);

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

double norm_of(const Values& values) {
  double squares = 0;
  for (const auto& [name, numbers] : values) {
    const double norm = norm_of(numbers);
    squares += norm * norm;
  }
  return std::sqrt(squares);
}

// Where rounding may make as much of a norm as it is itself, no error of it says anything: networks
// whose softmax is saturated have steps from which two right runs go different ways.
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Bound kNone = {kInfinity, kInfinity};

Bound bound_of_number(double error, double value) {
  return {relative(error, std::abs(value)), error};
}

template <class Real>
Values gradients_of(const Architecture& architecture, const Weights& weights,
                    const TokenBatch& batch) {
  Values values;
  const ReferenceGradients d =
      Reference<Real>(architecture, weights).backward(batch, [&](const Activation& a) {
        if (a.site.ends_with("grad")) values[a.site] = a.values;
      });
  values["loss"] = {d.loss};
  values["logits"] = d.logits;
  for (const auto& [name, numbers] : d.parameters) values["grad." + name] = numbers;
  return values;
}

// (Σ a² / b)^½ of step number `step`, from 0: the most that |m̂ / √v̂| can be.
double most_of_a_step(const TrainRecipe& r, size_t step) {
  const auto power = [](double beta, size_t n) { return std::pow(beta, static_cast<double>(n)); };
  const double of_m = (1 - r.beta1) / (1 - power(r.beta1, step + 1));
  const double of_v = (1 - r.beta2) / (1 - power(r.beta2, step + 1));
  double sum = 0;
  for (size_t age = 0; age <= step; ++age) {
    const double a = of_m * power(r.beta1, age);
    sum += a * a / (of_v * power(r.beta2, age));
  }
  return std::sqrt(sum);
}

// Adds each element's squared error.
void add_squares(const Values& drawn, const Values& exact, Values& squares) {
  for (const auto& [name, numbers] : exact) {
    std::vector<double>& sum = squares[name];
    sum.resize(numbers.size());
    for (size_t i = 0; i < sum.size(); ++i) {
      const double error = drawn.at(name)[i] - numbers[i];
      sum[i] += error * error;
    }
  }
}

// scale times the root of the mean over the draws of each element's squares, or of its row's if
// that is larger.
void take_roots(std::vector<double>& squares, size_t width, double draws, double scale) {
  for (size_t begin = 0; begin < squares.size(); begin += width) {
    double of_row = 0;
    for (size_t i = begin; i < begin + width; ++i)
      of_row += squares[i] / static_cast<double>(width);
    for (size_t i = begin; i < begin + width; ++i)
      squares[i] = scale * std::sqrt(std::max(squares[i], of_row) / draws);
  }
}

// What one step does to every element's error: see TrainingTruth::bound.
struct StepErrors {
  double clipping;     // of the clipping's factor, relative
  double per_divisor;  // 2 lr clip
  double most;         // what turning a step round does
  double roundings;    // relative to the parameter, and to the step
};

// ε and δ of one parameter's elements, given the errors of this step's gradients.
void move(const TrainedParameter<double>& p, const std::vector<double>& gradient,
          const std::vector<double>& errors, const StepErrors& step, std::vector<double>& epsilon,
          std::vector<double>& delta) {
  epsilon.resize(errors.size());
  delta.resize(errors.size());
  for (size_t i = 0; i < errors.size(); ++i) {
    epsilon[i] = std::max(epsilon[i], errors[i] + step.clipping * std::abs(gradient[i]));
    const double turned = relative(step.per_divisor * epsilon[i], p.divisor[i]);
    delta[i] += std::min(turned, step.most) + step.roundings * (std::abs(p.value[i]) + step.most);
  }
}

// What the draws say of one step's gradients: ε of each of its elements, and the bound of a logit.
struct GradientErrors {
  Values elements;
  Bound logits;
};

// Draws in training, step by step beside the exact one.
template <DType dtype>
class TrainingDraws {
 public:
  TrainingDraws(const Architecture& architecture, const Weights& weights, const TrainRecipe& recipe,
                size_t steps, int draws)
      : steps_(steps) {
    trainers_.reserve(static_cast<size_t>(draws));
    for (int i = 0; i < draws; ++i)
      trainers_.emplace_back(architecture, rough_weights(weights, dtype, i), recipe, steps);
    for (const NamedTensor& p : named_tensors(architecture))
      widths_[p.name] = static_cast<size_t>(p.shape[-1]);
  }

  // Of step number `step`, whose exact gradients are d. Each draw then takes its own step; the last
  // one nobody looks at, and the draws are gone.
  GradientErrors step(const TokenBatch& batch, const ReferenceGradients& d, size_t step,
                      const TellProgress& progress) {
    const bool is_last = step + 1 == steps_;
    const auto draws = static_cast<double>(trainers_.size());
    DrawnErrors logits(dtype);
    Values errors;
    for (int i = 0; auto& trainer : trainers_) {
      progress(fmt::format("step {}, {}", step + 1,
                           drawing(dtype, i++, static_cast<int>(trainers_.size()))));
      const ReferenceGradients drawn = trainer.gradients(batch);
      logits.add("logits", drawn.logits, d.logits);
      add_squares(drawn.parameters, d.parameters, errors);
      if (is_last) {
        trainer.parameters().clear();  // one draw's weights at a time are large enough
      } else {
        trainer.update(drawn, step);
      }
    }
    if (is_last) trainers_.clear();
    for (auto& [name, squares] : errors) take_roots(squares, widths_.at(name), draws, scale());
    return {std::move(errors), logits.bound("logits")};
  }

  // Moves each draw's parameter by up to half of δ at random: by half of what its own roundoff
  // would have made it, and no more than all steps turned round, `most`.
  void shake(const std::string& name, const std::vector<double>& delta, double most) {
    for (auto& trainer : trainers_) {
      auto& values = trainer.parameters().at(name).value;
      for (size_t i = 0; i < values.size(); ++i)
        values[i] += std::min(3 / scale() * delta[i], most) * noise_of(++place_);
    }
  }

 private:
  static double scale() { return DrawnErrors(dtype).scale(); }

  size_t steps_;
  std::vector<ReferenceTrainer<Rough<dtype>>> trainers_;
  std::map<std::string, size_t> widths_;  // of a parameter's rows
  double place_ = 0;
};

size_t count_of(const Values& values) {
  size_t count = 0;
  for (const auto& [name, numbers] : values) count += numbers.size();
  return count;
}

}  // namespace

TrainingTruth::TrainingTruth(const WeightSource& source, const std::vector<TrainingBatch>& batches,
                             const TrainRecipe& recipe, const std::vector<DType>& dtypes,
                             const TellProgress& progress) {
  const Architecture& architecture = source.architecture();
  const Weights weights = whole_parameters(source);
  progress("reference gradients, f64");
  values_ = gradients_of<double>(architecture, weights, as_reference(batches[0]));
  std::vector<TokenBatch> steps;
  for (size_t i = 1; i < batches.size(); ++i) steps.push_back(as_reference(batches[i]));
  for (const DType dtype : dtypes) {
    if (dtype == DType::f32) {
      draw_gradients<DType::f32>(architecture, weights, as_reference(batches[0]), progress);
      if (!steps.empty()) draw_steps<DType::f32>(architecture, weights, steps, recipe, progress);
    } else {
      draw_gradients<DType::f64>(architecture, weights, as_reference(batches[0]), progress);
      if (!steps.empty()) draw_steps<DType::f64>(architecture, weights, steps, recipe, progress);
    }
  }
  list_names(architecture, steps.size());
}

void TrainingTruth::list_names(const Architecture& architecture, size_t steps) {
  const std::vector<NamedTensor> all = named_tensors(architecture);
  names_ = {"loss", "head/grad"};
  for (int64_t i = architecture.layers() - 1; i >= 0; --i)
    names_.push_back(fmt::format("block {}/grad", i));
  names_.emplace_back("embed/grad");
  for (const NamedTensor& p : all) names_.push_back("grad." + p.name);
  for (size_t i = 1; i <= steps; ++i) {
    names_.push_back(fmt::format("step {}/loss", i));
    names_.push_back(fmt::format("step {}/norm", i));
  }
  if (steps > 0)
    for (const NamedTensor& p : all) names_.push_back("after." + p.name);
}

template <DType dtype>
void TrainingTruth::draw_gradients(const Architecture& architecture, const Weights& weights,
                                   const TokenBatch& batch, const TellProgress& progress) {
  DrawnErrors errors(dtype);
  const int draws = draws_for(architecture, batch.B * batch.T);
  for (int i = 0; i < draws; ++i) {
    progress("gradients, " + drawing(dtype, i, draws));
    for (const auto& [name, drawn] :
         gradients_of<Rough<dtype>>(architecture, rough_weights(weights, dtype, i), batch))
      errors.add(name, drawn, values_.at(name));
  }
  std::map<std::string, Bound>& bounds = bounds_[dtype];
  for (const auto& [name, exact] : values_)
    if (errors.has(name)) bounds[name] = errors.bound(name);
  const double loss = values_.at("loss")[0];
  bounds["loss"] =
      bound_of_number(2 * bounds.at("logits").max_abs +
                          loss_rounding(loss, architecture.vocabulary, batch.B * batch.T, dtype),
                      loss);
}

template <DType dtype>
void TrainingTruth::draw_steps(const Architecture& architecture, const Weights& weights,
                               const std::vector<TokenBatch>& batches, const TrainRecipe& recipe,
                               const TellProgress& progress) {
  std::map<std::string, Bound>& bounds = bounds_.at(dtype);
  ReferenceTrainer<double> exact(architecture, weights, recipe, batches.size());
  TrainingDraws<dtype> draws(architecture, weights, recipe, batches.size(),
                             draws_for(architecture, batches[0].B * batches[0].T));
  Values epsilon, delta;
  double most = 0;  // that all steps so far, turned round, may have made of an element

  for (size_t step = 0; step < batches.size(); ++step) {
    const ReferenceGradients d = exact.gradients(batches[step]);
    const GradientErrors errors = draws.step(batches[step], d, step, progress);
    const double norm = global_norm(d);
    const double of_norm = norm_of(errors.elements) +
                           norm * static_cast<double>(count_of(errors.elements)) * kDoubleRoundoff;
    const double of_loss =
        2 * errors.logits.max_abs + norm * norm_of(delta) +
        loss_rounding(d.loss, architecture.vocabulary, batches[step].B * batches[step].T, dtype);
    const std::string prefix = fmt::format("step {}/", step + 1);
    values_[prefix + "loss"] = {d.loss};
    values_[prefix + "norm"] = {norm};
    bounds[prefix + "loss"] = bound_of_number(of_loss, d.loss);
    bounds[prefix + "norm"] = of_norm < norm ? bound_of_number(of_norm, norm) : kNone;

    exact.update(d, step);
    const double lr = recipe.learning_rate_at(step);
    const StepErrors moves{.clipping = relative(of_norm, norm),
                           .per_divisor = 2 * lr * exact.clip(norm),
                           .most = 2 * lr * most_of_a_step(recipe, step),
                           .roundings = (step == 0 ? 3 : 2) * unit_roundoff(dtype)};
    most += moves.most;
    for (const auto& [name, p] : exact.parameters()) {
      move(p, d.parameters.at(name), errors.elements.at(name), moves, epsilon[name], delta[name]);
      draws.shake(name, delta[name], most);
    }
  }
  for (auto& [name, p] : exact.parameters()) {
    const double error = norm_of(delta.at(name));
    bounds["after." + name] = {relative(error, norm_of(p.value)),
                               *std::max_element(delta[name].begin(), delta[name].end())};
    values_["after." + name] = std::move(p.value);
  }
}

const std::vector<double>& TrainingTruth::values(const std::string& name) const {
  return values_.at(name);
}

Bound TrainingTruth::bound(const std::string& name, DType dtype) const {
  const auto drawn = bounds_.find(dtype);
  if (drawn != bounds_.end()) return drawn->second.at(name);
  return scaled(bounds_.begin()->second.at(name), bounds_.begin()->first, dtype);
}

}  // namespace tplab
