// The reference's backward pass against differences of its forward, parameter by parameter.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <map>

#include "arbitrary_weights.h"
#include "finite_differences.h"
#include "model/parameters.h"
#include "sim/error.h"
#include "verify/compare.h"
#include "verify/reference/reference.h"

using namespace tplab;
using tplab::testing::agrees;
using tplab::testing::arbitrary_weights;
using tplab::testing::Derivative;
using tplab::testing::differentiate;
using tplab::testing::with;

namespace {

using Numbers = std::vector<double>;

// n_inner is not 4 n_embd, and no two dimensions are alike.
GptConfig tiny_model() {
  return {.n_layer = 2, .n_head = 2, .n_embd = 4, .block_size = 6, .vocab_size = 7, .n_inner = 10};
}

// A token that occurs twice, one that does not occur, and targets that do not count.
TokenBatch tiny_batch() {
  return {.B = 2,
          .T = 5,
          .tokens = {3, 1, 4, 1, 5, 2, 6, 5, 3, 4},
          .targets = {1, 4, -1, 5, 0, 6, 5, 3, 4, -1}};
}

// The loss as a function of one parameter.
auto loss_of(const GptConfig& config, const std::string& name, const TokenBatch& b) {
  return [config, name, b](const Numbers& values) {
    const Weights weights = with(arbitrary_weights(config), name, values);
    return Numbers{*Reference<double>(config, weights).forward(b).loss};
  };
}

Derivative derivative(const GptConfig& config, const std::string& name, const TokenBatch& b) {
  return differentiate(loss_of(config, name, b), arbitrary_weights(config)(name), {1});
}

// Each column's sum over the rows of a [rows, width].
Numbers sum_of_rows(const Numbers& values, size_t width) {
  Numbers sum(width, 0.0);
  for (size_t i = 0; i < values.size(); ++i) sum[i % width] += values[i];
  return sum;
}

std::map<std::string, Activation> sites_of(const Reference<double>& reference,
                                           const TokenBatch& b) {
  std::map<std::string, Activation> sites;
  (void)reference.backward(b, [&](Activation a) { sites[a.site] = a; });
  return sites;
}

}  // namespace

TEST_CASE("reference backward: every parameter's gradient, in every kind of model") {
  for (const bool tied : {true, false})
    for (const bool bias : {true, false})
      for (const Gelu gelu : {Gelu::erf, Gelu::tanh}) {
        GptConfig config = tiny_model();
        config.tied_head = tied;
        config.bias = bias;
        config.gelu = gelu;
        const Reference<double> reference(config, arbitrary_weights(config));
        const ReferenceGradients d = reference.backward(tiny_batch());
        // Eigen's order of summation may follow where the allocator put the operands.
        CHECK(d.loss == Approx(*reference.forward(tiny_batch()).loss).epsilon(1e-14));
        std::map<std::string, int> unseen;
        for (const NamedTensor& p : named_tensors(config)) unseen[p.name];
        double sharpest = 1;
        for (const auto& [name, gradient] : d.parameters) {
          INFO(name << ", tied " << tied << ", bias " << bias << ", gelu " << int(gelu));
          CHECK(unseen.erase(name) == 1);
          const Derivative expected = derivative(config, name, tiny_batch());
          CHECK(agrees(gradient, expected));
          CHECK(expected.bound < 1e-5);  // of gradients of about 0.1
          sharpest = std::min(sharpest, expected.bound);
        }
        CHECK(unseen.empty());
        CHECK(sharpest < 1e-7);
      }
}

TEST_CASE("reference backward: a gradient with a part left out does not pass") {
  const GptConfig config = tiny_model();
  const auto d =
      Reference<double>(config, arbitrary_weights(config)).backward(tiny_batch()).parameters;
  const std::string wte = "transformer.wte.weight";

  // A tied head counted once: the embedding's part alone is that of the model whose head is a copy.
  GptConfig untied = config;
  untied.tied_head = false;
  const Weights copied = [&](const std::string& name) {
    return arbitrary_weights(config)(name == "lm_head.weight" ? wte : name);
  };
  const auto parts = Reference<double>(untied, copied).backward(tiny_batch()).parameters;
  const Derivative whole = derivative(config, wte, tiny_batch());
  CHECK(agrees(d.at(wte), whole));
  CHECK_FALSE(agrees(parts.at(wte), whole));
  CHECK_FALSE(agrees(parts.at("lm_head.weight"), whole));

  // The mean over all ten positions, of which two do not count.
  Numbers over_all = d.at("transformer.ln_f.bias");
  for (double& v : over_all) v *= 0.8;
  CHECK_FALSE(agrees(over_all, derivative(config, "transformer.ln_f.bias", tiny_batch())));

  // The other GELU's derivative: off by a thousandth or so.
  GptConfig other = config;
  other.gelu = Gelu::tanh;
  const auto tanh =
      Reference<double>(other, arbitrary_weights(other)).backward(tiny_batch()).parameters;
  const std::string c_fc = "transformer.h.0.mlp.c_fc.weight";
  CHECK_FALSE(agrees(tanh.at(c_fc), derivative(config, c_fc, tiny_batch())));

  // A position that no batch reaches has no gradient; every one that is reached has one.
  const Numbers& wpe = d.at("transformer.wpe.weight");
  REQUIRE(wpe.size() == 24);
  CHECK(Numbers(wpe.begin() + 20, wpe.end()) == Numbers(4, 0.0));
  for (size_t i = 0; i < 20; ++i) CHECK(wpe[i] != 0);
}

TEST_CASE("reference backward: the sites, in the order computed") {
  const GptConfig config = tiny_model();
  const Reference<double> reference(config, arbitrary_weights(config));
  std::vector<std::string> order;
  (void)reference.backward(tiny_batch(), [&](Activation a) {
    order.push_back(a.site);
    CHECK(a.shape == Shape{2, 5, 4});
    CHECK(a.values.size() == 40);
  });
  CHECK(order ==
        std::vector<std::string>{"head/grad", "block 1/grad", "block 0/grad", "embed/grad"});
}

TEST_CASE("reference backward: each site's gradient adds up to that of the bias added there") {
  const GptConfig config = tiny_model();
  const Reference<double> reference(config, arbitrary_weights(config));
  const auto sites = sites_of(reference, tiny_batch());
  // ln_f's bias is added to every position of ln_f's output; block 0's last bias to every position
  // of block 1's input.
  CHECK(agrees(sum_of_rows(sites.at("head/grad").values, 4),
               derivative(config, "transformer.ln_f.bias", tiny_batch())));
  CHECK(agrees(sum_of_rows(sites.at("block 1/grad").values, 4),
               derivative(config, "transformer.h.0.mlp.c_proj.bias", tiny_batch())));
  CHECK(sites.at("embed/grad").values == sites.at("block 0/grad").values);
  CHECK_FALSE(agrees(sum_of_rows(sites.at("block 0/grad").values, 4),
                     derivative(config, "transformer.h.0.mlp.c_proj.bias", tiny_batch())));

  // With one sequence each position's embedding is added once, so its gradient is that position's.
  const TokenBatch one = {.B = 1, .T = 5, .tokens = {3, 1, 4, 1, 5}, .targets = {1, 4, 1, 5, -1}};
  Derivative wpe = derivative(config, "transformer.wpe.weight", one);
  wpe.values.resize(20);
  CHECK(agrees(sites_of(reference, one).at("embed/grad").values, wpe));
}

TEST_CASE("reference backward: a draw differs from double by rounding: not by nothing, nor much") {
  const GptConfig config = {.n_layer = 2,
                            .n_head = 4,
                            .n_embd = 256,
                            .block_size = 32,
                            .vocab_size = 50,
                            .n_inner = 1024};
  TokenBatch b = {.B = 2, .T = 32, .tokens = {}};
  for (int i = 0; i < 64; ++i) b.tokens.push_back(i * 17 % 50);
  for (int i = 0; i < 64; ++i) b.targets.push_back(i * 29 % 50);
  // Matrices of a network's usual size, about 1 / sqrt(C), and smaller ones for the queries and
  // keys: softmaxes that are not saturated, for the gradients of which a draw, as attention in one
  // piece, takes the difference of two numbers that are nearly equal.
  const Weights weights = [&](const std::string& name) {
    Numbers values = arbitrary_weights(config)(name);
    if (name.find("ln_") == std::string::npos)
      for (double& v : values) v /= name.find("c_attn") == std::string::npos ? 8 : 24;
    return values;
  };
  const auto truth = Reference<double>(config, weights).backward(b);
  const auto rounded = Reference<Rough<DType::f32>>(config, weights).backward(b);
  CHECK(rounded.loss != truth.loss);
  // As for the forward: a sum of n terms errs by about sqrt(n) u (Higham and Mary 2019). Some 8
  // such sums in a row forward, and twice as many backward.
  const double walk = std::sqrt(1024.0) * 0x1p-24;
  for (const auto& [name, gradient] : truth.parameters) {
    INFO(name);
    const auto count = static_cast<int64_t>(gradient.size());
    const Difference d = compare(rounded.parameters.at(name), gradient, {count});
    CHECK(d.rms_rel > 0.001 * walk);
    CHECK(d.rms_rel < 24 * walk);
  }
}

TEST_CASE("reference backward: a NaN in a weight reaches every gradient") {
  const GptConfig config = tiny_model();
  const std::string name = "transformer.h.1.mlp.c_proj.bias";
  Numbers values = arbitrary_weights(config)(name);
  values[3] = std::numeric_limits<double>::quiet_NaN();
  const Reference<double> bad(config, with(arbitrary_weights(config), name, values));
  const ReferenceGradients d = bad.backward(tiny_batch());
  CHECK(std::isnan(d.loss));
  for (const auto& [parameter, gradient] : d.parameters) {
    INFO(parameter);
    bool any = false;
    for (const double v : gradient) any = any || std::isnan(v);
    CHECK(any);
  }
}

TEST_CASE("reference backward: a batch without targets, or that does not fit, is refused") {
  const GptConfig config = tiny_model();
  const Reference<double> reference(config, arbitrary_weights(config));
  TokenBatch b = tiny_batch();
  b.targets.clear();
  CHECK_THROWS_WITH(reference.backward(b), Catch::Contains("a batch without targets"));
  b = tiny_batch();
  b.targets[0] = 7;
  CHECK_THROWS_AS(reference.backward(b), Error);
}
