// The reference's AdamW and clipping against steps worked out in the test.
#include "verify/reference/reference_train.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "arbitrary_weights.h"
#include "model/parameters.h"
#include "sim/error.h"
#include "verify/compare.h"

using namespace tplab;
using tplab::testing::arbitrary_weights;
using tplab::testing::with;

namespace {

using Numbers = std::vector<double>;
using ByName = std::map<std::string, Numbers>;

GptConfig small_model() {
  return {.n_layer = 1, .n_head = 2, .n_embd = 4, .block_size = 4, .vocab_size = 7, .n_inner = 10};
}

std::vector<TokenBatch> batches() {
  return {{.B = 1, .T = 4, .tokens = {3, 1, 4, 1}, .targets = {1, 4, -1, 5}},
          {.B = 2, .T = 3, .tokens = {2, 6, 5, 3, 5, 0}, .targets = {6, 5, 3, 5, -1, 1}},
          {.B = 1, .T = 2, .tokens = {0, 3}, .targets = {3, 2}}};
}

Weights weights_of(const ByName& values) {
  return [values](const std::string& name) { return values.at(name); };
}

ByName whole(const GptConfig& config) {
  ByName values;
  for (const NamedTensor& p : named_tensors(config))
    values[p.name] = arbitrary_weights(config)(p.name);
  return values;
}

// The largest difference between any two elements.
double furthest(const ByName& got, const ByName& expected) {
  REQUIRE(got.size() == expected.size());
  double furthest = 0;
  for (const auto& [name, values] : expected)
    furthest = std::max(
        furthest, compare(got.at(name), values, {static_cast<int64_t>(values.size())}).max_abs);
  return furthest;
}

// Of all gradients as one list.
double norm_of(const ByName& gradients) {
  long double sum = 0;
  for (const auto& [name, values] : gradients)
    for (const double g : values) sum += static_cast<long double>(g) * g;
  return static_cast<double>(std::sqrt(sum));
}

// A recipe's steps from the definition, element by element: moments as sums over all steps so
// far, m_t = (1 - beta) sum of beta^(t - s) g_s, and each bias correction where the paper has it.
ByName by_definition(const GptConfig& config, const TrainRecipe& r, const Numbers& rates) {
  std::map<std::string, size_t> dimensions;
  for (const NamedTensor& p : named_tensors(config)) dimensions[p.name] = p.shape.dims();
  ByName values = whole(config);
  std::vector<ByName> history;  // of clipped gradients
  for (size_t t = 1; t <= rates.size(); ++t) {
    history.push_back(
        Reference<double>(config, weights_of(values)).backward(batches()[t - 1]).parameters);
    const double norm = norm_of(history.back());
    const double clip = r.grad_clip > 0 ? std::min(1.0, r.grad_clip / (norm + 1e-6)) : 1.0;
    for (auto& [name, gradient] : history.back())
      for (double& g : gradient) g *= clip;
    const double lr = rates[t - 1];
    for (auto& [name, value] : values)
      for (size_t i = 0; i < value.size(); ++i) {
        double m = 0, v = 0;
        for (size_t s = 1; s <= t; ++s) {
          const double g = history[s - 1].at(name)[i], age = static_cast<double>(t - s);
          m += (1 - r.beta1) * std::pow(r.beta1, age) * g;
          v += (1 - r.beta2) * std::pow(r.beta2, age) * g * g;
        }
        m /= 1 - std::pow(r.beta1, static_cast<double>(t));
        v /= 1 - std::pow(r.beta2, static_cast<double>(t));
        const double decay = dimensions.at(name) >= 2 ? lr * r.weight_decay * value[i] : 0;
        value[i] -= decay + lr * m / (std::sqrt(v) + r.eps);
      }
  }
  return values;
}

// Large eps: nothing is divided by less, so that an error of rounding in a gradient, 1e-15 of the
// largest, moves no parameter by more than lr 1e-15 / eps = 1e-14 a step.
TrainRecipe recipe() {
  TrainRecipe r;
  r.learning_rate = 0.01;
  r.eps = 1e-3;
  r.grad_clip = 0.1;
  return r;
}

}  // namespace

TEST_CASE("reference training: three steps of AdamW, by the paper's definition") {
  for (const bool tied : {true, false})
    for (const bool bias : {true, false}) {
      GptConfig config = small_model();
      config.tied_head = tied;
      config.bias = bias;
      const TrainRecipe r = recipe();
      const auto trained = train_reference(config, arbitrary_weights(config), batches(), r);
      const ByName expected = by_definition(config, r, Numbers(3, r.learning_rate));
      CHECK(furthest(trained.parameters, expected) <= 1e-13);
      CHECK(furthest(trained.parameters, whole(config)) > 1e-3);

      // Mutants: a definition with another number in it.
      const auto off = [&](auto edit) {
        TrainRecipe other = r;
        edit(other);
        return furthest(trained.parameters,
                        by_definition(config, other, Numbers(3, other.learning_rate)));
      };
      CHECK(off([](TrainRecipe& o) { o.weight_decay = 0; }) > 1e-5);
      CHECK(off([](TrainRecipe& o) { o.grad_clip = 0; }) > 1e-5);
      CHECK(off([](TrainRecipe& o) { o.beta1 = 0.8; }) > 1e-5);
      CHECK(off([](TrainRecipe& o) { o.beta2 = 0.9; }) > 1e-5);
      CHECK(off([](TrainRecipe& o) { o.eps = 2e-3; }) > 1e-5);
      CHECK(off([](TrainRecipe& o) { o.learning_rate = 0.011; }) > 1e-5);
    }
}

TEST_CASE("reference training: losses and norms are each batch's, before its step and unclipped") {
  const GptConfig config = small_model();
  const TrainRecipe r = recipe();
  const auto trained = train_reference(config, arbitrary_weights(config), batches(), r);
  REQUIRE(trained.losses.size() == 3);
  REQUIRE(trained.grad_norms.size() == 3);
  const auto first = Reference<double>(config, arbitrary_weights(config)).backward(batches()[0]);
  CHECK(trained.losses[0] == Approx(first.loss).epsilon(1e-14));
  CHECK(trained.grad_norms[0] == Approx(norm_of(first.parameters)).epsilon(1e-14));
  CHECK(trained.grad_norms[0] > r.grad_clip);
  const Reference<double> second(config, weights_of(by_definition(config, r, {r.learning_rate})));
  CHECK(trained.losses[1] == Approx(second.backward(batches()[1]).loss).epsilon(1e-12));
}

TEST_CASE("reference training: a learning rate for each step, and a clip that is not reached") {
  const GptConfig config = small_model();
  TrainRecipe r = recipe();
  r.learning_rates = {0.003, 0, 0.02};
  r.grad_clip = 1e6;
  const auto trained = train_reference(config, arbitrary_weights(config), batches(), r);
  CHECK(furthest(trained.parameters, by_definition(config, r, r.learning_rates)) <= 1e-13);
  TrainRecipe unclipped = r;
  unclipped.grad_clip = 0;
  const auto same = train_reference(config, arbitrary_weights(config), batches(), unclipped);
  CHECK(furthest(trained.parameters, same.parameters) <= 1e-13);
}

TEST_CASE("reference training: a draw differs from double by rounding: not by nothing, nor much") {
  const GptConfig config = small_model();
  const TrainRecipe r = recipe();
  const auto truth = train_reference(config, arbitrary_weights(config), batches(), r);
  ReferenceTrainer<Rough<DType::f32>> rough(config, arbitrary_weights(config), r, 3);
  for (size_t step = 0; step < 3; ++step) {
    const ReferenceGradients d = rough.gradients(batches()[step]);
    CHECK(d.loss != truth.losses[step]);
    CHECK(std::abs(d.loss / truth.losses[step] - 1) < 100 * 0x1p-24);
    CHECK(std::abs(global_norm(d) / truth.grad_norms[step] - 1) < 100 * 0x1p-24);
    const double norm = global_norm(d);
    for (const auto& [name, gradient] : d.parameters) rough.update(name, gradient, norm, step);
  }
  // A parameter's own rounding is 2^-25 of about 1 at the least. A gradient of at most 0.1 is off
  // by some 100 roundings, and lr / eps = 10 times that goes to the parameter, each step.
  std::map<std::string, Numbers> drawn;
  for (const auto& [name, p] : rough.parameters())
    for (const auto& value : p.value) drawn[name].push_back(static_cast<double>(value));
  const double off = furthest(drawn, truth.parameters);
  CHECK(off > 0x1p-26);
  CHECK(off < 3 * (10 * 0.1 * 100 + 1) * 0x1p-24);
}

TEST_CASE("reference training: a NaN is in the loss, the norm and every parameter that follows") {
  const GptConfig config = small_model();
  const std::string name = "transformer.ln_f.bias";
  Numbers values = arbitrary_weights(config)(name);
  values[2] = std::numeric_limits<double>::quiet_NaN();
  const auto trained =
      train_reference(config, with(arbitrary_weights(config), name, values), batches(), recipe());
  CHECK(std::isnan(trained.losses[0]));
  CHECK(std::isnan(trained.grad_norms[0]));
  for (const auto& [parameter, after] : trained.parameters)
    for (const double v : after) CHECK(std::isnan(v));
}

TEST_CASE("reference training: no batches, or learning rates that are not one each, are refused") {
  const GptConfig config = small_model();
  TrainRecipe r = recipe();
  CHECK_THROWS_WITH(train_reference(config, arbitrary_weights(config), {}, r),
                    Catch::Contains("no batches"));
  r.learning_rates = {0.1};
  CHECK_THROWS_WITH(train_reference(config, arbitrary_weights(config), batches(), r),
                    Catch::Contains("1 learning rates for 3 steps"));
}
