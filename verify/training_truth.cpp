#include "verify/training_truth.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "verify/draws.h"
#include "verify/parallel.h"

namespace tplab {

namespace {

using Values = std::map<std::string, std::vector<double>>;

constexpr double kDoubleRoundoff = unit_roundoff(DType::f64);

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

constexpr int64_t kLook = 8;  // multiplications that take as long as looking at a number

// Adds each element's squared error.
void add_squares(std::span<const double> drawn, const std::vector<double>& exact,
                 std::vector<double>& squares) {
  squares.resize(exact.size());
  for_each_stretch(std::ssize(exact), kLook, [&](int64_t first, int64_t n) {
    for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(first + n); ++i) {
      const double error = drawn[i] - exact[i];
      squares[i] += error * error;
    }
  });
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

// What one step does to every element's error: see steps_truth.
struct StepErrors {
  double clipping;     // of the clipping's factor, relative
  double per_divisor;  // 2 lr clip
  double most;         // what turning a step round does
  double roundings;    // relative to the parameter, and to the step
};

// ε and δ of one parameter's elements, given the errors of this step's gradients.
void move(const std::vector<double>& value, const std::vector<double>& divisors,
          const std::vector<double>& gradient, const std::vector<double>& errors,
          const StepErrors& step, std::vector<double>& epsilon, std::vector<double>& delta) {
  epsilon.resize(errors.size());
  delta.resize(errors.size());
  for_each_stretch(std::ssize(errors), kLook, [&](int64_t first, int64_t n) {
    for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(first + n); ++i) {
      epsilon[i] = std::max(epsilon[i], errors[i] + step.clipping * std::abs(gradient[i]));
      const double turned = relative(step.per_divisor * epsilon[i], divisors[i]);
      delta[i] += std::min(turned, step.most) + step.roundings * (std::abs(value[i]) + step.most);
    }
  });
}

// What the draws say of one step's gradients: ε of each of its elements, but for clipping, and the
// bound of a logit.
struct GradientErrors {
  Values elements;
  Bound logits;
};

// Draws in training, step by step beside the exact one.
template <DType dtype>
class TrainingDraws {
 public:
  TrainingDraws(const Architecture& architecture, const Weights& weights, const TrainRecipe& recipe,
                size_t steps, int64_t ranks, int draws)
      : steps_(steps) {
    for (int i = 0; i < draws; ++i)
      trainers_.emplace_back(architecture, rough_weights(weights, dtype, i), recipe, steps, ranks);
    for (const NamedTensor& p : named_tensors(architecture))
      widths_[p.name] = static_cast<size_t>(p.shape[-1]);
  }

  // Of step number `step`, whose exact gradients are d. Each draw then takes its own step, but for
  // the last, which nobody looks at: each is gone when it has said what it knows.
  GradientErrors step(const TokenBatch& batch, const ReferenceGradients& d, size_t step,
                      const TellProgress& progress) {
    const bool is_last = step + 1 == steps_;
    const auto draws = static_cast<double>(trainers_.size());
    DrawnErrors logits(dtype);
    Values elements;
    for (int i = 0; auto& trainer : trainers_) {
      progress(fmt::format("step {}, {}", step + 1,
                           drawing(dtype, i++, static_cast<int>(trainers_.size()))));
      ReferenceGradients drawn;
      static_cast<ReferenceLoss&>(drawn) =
          trainer.gradients(batch, [&](const std::string& name, std::vector<Rough<dtype>> g) {
            const std::span<const double> numbers = as_doubles(g);
            add_squares(numbers, d.parameters.at(name), elements[name]);
            if (!is_last) drawn.parameters[name] = {numbers.begin(), numbers.end()};
          });
      logits.add("logits", drawn.logits, d.logits);
      if (is_last) {
        trainer.parameters().clear();
        continue;
      }
      const double norm = global_norm(drawn);
      for (const auto& [name, gradient] : drawn.parameters)
        trainer.update(name, gradient, norm, step);
    }
    for (auto& [name, squares] : elements) take_roots(squares, widths_.at(name), draws, scale());
    return {std::move(elements), logits.bound("logits")};
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

Truth gradient_truth(const WeightSource& source, const TrainingBatch& data, const Drawn& drawn,
                     const TellProgress& progress) {
  const ReferenceInput input(source, data);
  progress("reference gradients, f64");
  std::vector<Activation> sites;
  ReferenceGradients exact =
      Reference<double>(input.architecture, input.weights).backward(input.batch, [&](Activation a) {
        sites.push_back(std::move(a));
      });
  Truth truth;
  truth.add("loss", {1}, {exact.loss});
  for (Activation& site : sites) truth.add(site.site, site.shape, std::move(site.values));
  for (const NamedTensor& p : named_tensors(input.architecture))
    truth.add("grad." + p.name, p.shape, std::move(exact.parameters.at(p.name)));

  const auto tell = [&](const std::string& what) { progress("gradients, " + what); };
  draw_bounds(input, drawn, tell, truth, [&](const auto& rough, DrawnErrors& errors) {
    const ReferenceLoss of_draw = rough.backward(
        input.batch,
        [&](const std::string& parameter, const auto& gradient) {
          const std::string name = "grad." + parameter;
          errors.add(name, as_doubles(gradient), truth.values(name));
        },
        [&](const Activation& a) { errors.add(a.site, a.values, truth.values(a.site)); });
    errors.add("head/logits", of_draw.logits, exact.logits);
  });
  return truth;
}

namespace {

// What training is and what it is drawn for.
struct Training {
  const Architecture& architecture;
  const Weights& weights;
  const std::vector<TrainingBatch>& batches;
  const TrainRecipe& recipe;
  int64_t ranks;
  const TellProgress& progress;
};

// Trains, exactly and in draws of one dtype, and sets its bounds; the first dtype adds what they
// are of. Dtypes come one after the other, for it is memory that is short: so is all that follows
// let go parameter by parameter.
template <DType dtype>
void add_steps(const Training& t, Truth& truth) {
  const bool is_new = truth.names().empty();
  const size_t steps = t.batches.size();
  ReferenceTrainer<double> exact(t.architecture, t.weights, t.recipe, steps);
  TrainingDraws<dtype> draws(
      t.architecture, t.weights, t.recipe, steps, t.ranks,
      draws_for(t.architecture, t.batches[0].tokens.batch * t.batches[0].tokens.length));
  Values epsilon, delta;
  double most = 0;        // that all steps so far, turned round, may have made of an element
  double delta_norm = 0;  // of all parameters
  std::map<std::string, Bound> after;

  for (size_t step = 0; step < steps; ++step) {
    const bool is_last = step + 1 == steps;
    const TokenBatch batch = as_reference(t.batches[step]);
    ReferenceGradients d = exact.gradients(batch);
    GradientErrors errors = draws.step(batch, d, step, t.progress);
    const double norm = global_norm(d), lr = t.recipe.learning_rate_at(step);
    const double of_norm = norm_of(errors.elements) +
                           norm * static_cast<double>(count_of(errors.elements)) * kDoubleRoundoff;
    const Bound of_logits =
        loss_bound(errors.logits, d.loss, t.architecture.vocabulary, batch.B * batch.T, dtype);
    const std::string loss = fmt::format("step {}/loss", step + 1),
                      grad_norm = fmt::format("step {}/norm", step + 1);
    if (is_new) {
      truth.add(loss, {1}, {d.loss});
      truth.add(grad_norm, {1}, {norm});
    }
    truth.set_bound(loss, dtype, bound_of_number(of_logits.max_abs + norm * delta_norm, d.loss));
    truth.set_bound(grad_norm, dtype, of_norm < norm ? bound_of_number(of_norm, norm) : kNone);

    const StepErrors moves{.clipping = relative(of_norm, norm),
                           .per_divisor = 2 * lr * exact.clip(norm),
                           .most = 2 * lr * most_of_a_step(t.recipe, step),
                           .roundings = (step == 0 ? 3 : 2) * unit_roundoff(accumulator(dtype))};
    most += moves.most;
    double squares = 0;
    while (!d.parameters.empty()) {
      const auto gradient = d.parameters.extract(d.parameters.begin());
      const std::string& name = gradient.key();
      std::vector<double> divisors;
      exact.update(name, gradient.mapped(), norm, step, &divisors);
      const std::vector<double>& value = exact.parameters().at(name).value;
      move(value, divisors, gradient.mapped(), errors.elements.extract(name).mapped(), moves,
           epsilon[name], delta[name]);
      const double size = norm_of(delta[name]);
      squares += size * size;
      if (!is_last) {
        draws.shake(name, delta[name], most);
        continue;
      }
      after[name] = {relative(size, norm_of(value)),
                     *std::max_element(delta[name].begin(), delta[name].end())};
      epsilon.erase(name);
      delta.erase(name);
    }
    delta_norm = std::sqrt(squares);
  }
  for (const NamedTensor& p : named_tensors(t.architecture)) {
    const std::string name = "after." + p.name;
    if (is_new) truth.add(name, p.shape, std::move(exact.parameters().at(p.name).value));
    truth.set_bound(name, dtype, after.at(p.name));
  }
}

}  // namespace

Truth steps_truth(const WeightSource& source, const std::vector<TrainingBatch>& batches,
                  const TrainRecipe& recipe, const Drawn& drawn, const TellProgress& progress) {
  const Weights weights = whole_parameters(source);
  Truth truth;
  for (const DType dtype : drawn.dtypes)
    with_rough(dtype, [&](auto rough) {
      add_steps<decltype(rough)::kDType>(
          {source.architecture(), weights, batches, recipe, drawn.ranks, progress}, truth);
    });
  return truth;
}

// Of a last step the parameters after it, the gradients, their errors, and what of a dtype before
// is kept; with steps to come also both moments, ε and δ, a draw's gradients, and each draw's
// parameters and moments.
double numbers_of_steps_truth(const Architecture& architecture, int64_t positions, int64_t steps,
                              size_t dtypes) {
  if (steps == 0) return 0;
  const double kept = dtypes > 1 ? 1 : 0;
  if (steps == 1) return 3 + kept;
  return 3 + kept + 2 + 2 + 1 + 3 * draws_for(architecture, positions);
}

}  // namespace tplab
