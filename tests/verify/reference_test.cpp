// The dense reference: a model worked out by hand, and what a result must and must not depend on.
#include "verify/reference/reference.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <map>

#include "arbitrary_weights.h"
#include "sim/error.h"
#include "verify/compare.h"

using namespace tplab;
using tplab::testing::arbitrary_weights;
using tplab::testing::with;

namespace {

using Numbers = std::vector<double>;

GptConfig tiny() {
  return {.n_layer = 2, .n_head = 2, .n_embd = 8, .block_size = 6, .vocab_size = 11, .n_inner = 24};
}

TokenBatch batch() { return {.B = 2, .T = 5, .tokens = {3, 1, 4, 1, 5, 9, 2, 6, 5, 10}}; }

Numbers rows(const Numbers& logits, int64_t begin, int64_t end, int64_t V) {
  return {logits.begin() + begin * V, logits.begin() + end * V};
}

}  // namespace

TEST_CASE("reference: a one-layer model whose every value is known") {
  // Biases alone move the stream: attention adds v's bias through the identity, the MLP adds its
  // own. wte rows e0, e1; the block adds (1, 0) then (0, 2); ln_f has weight 1: (a, b) -> sign(a -
  // b).
  const GptConfig config = {.n_layer = 1,
                            .n_head = 1,
                            .n_embd = 2,
                            .block_size = 2,
                            .vocab_size = 2,
                            .n_inner = 1,
                            .layer_norm_eps = 1e-300};  // nothing
  const std::map<std::string, Numbers> w = {
      {"transformer.wte.weight", {6, 0, 0, 6}},
      {"transformer.wpe.weight", {0, 1, 1, 0}},
      {"transformer.h.0.ln_1.weight", {1, 1}},
      {"transformer.h.0.ln_1.bias", {0, 0}},
      {"transformer.h.0.attn.c_attn.weight", Numbers(12, 0.0)},
      {"transformer.h.0.attn.c_attn.bias", {5, 6, 7, 8, 1, 0}},
      {"transformer.h.0.attn.c_proj.weight", {1, 0, 0, 1}},
      {"transformer.h.0.attn.c_proj.bias", {0.5, 0.25}},
      {"transformer.h.0.ln_2.weight", {1, 1}},
      {"transformer.h.0.ln_2.bias", {0, 0}},
      {"transformer.h.0.mlp.c_fc.weight", {0, 0}},
      {"transformer.h.0.mlp.c_fc.bias", {1}},
      {"transformer.h.0.mlp.c_proj.weight", {0, 2}},
      {"transformer.h.0.mlp.c_proj.bias", {0, -0.5}},
      {"transformer.ln_f.weight", {2, 3}},
      {"transformer.ln_f.bias", {0.5, 0}},
  };
  std::map<std::string, Numbers> seen;
  std::vector<std::string> order;
  const Reference<double> reference(config, [&](const std::string& name) { return w.at(name); });
  const ReferenceOutput out =
      reference.forward({.B = 1, .T = 2, .tokens = {0, 1}, .targets = {0, -1}}, [&](Activation a) {
        order.push_back(a.site);
        seen[a.site] = a.values;
      });
  CHECK(order == std::vector<std::string>{"embed/tok",
                                          "embed/pos",
                                          "embed/out",
                                          "block 0/ln_1",
                                          "block 0/attn/qkv",
                                          "block 0/attn/q",
                                          "block 0/attn/k",
                                          "block 0/attn/v",
                                          "block 0/attn/scores",
                                          "block 0/attn/softmax",
                                          "block 0/attn/heads",
                                          "block 0/attn/proj",
                                          "block 0/mid",
                                          "block 0/ln_2",
                                          "block 0/mlp/fc",
                                          "block 0/mlp/gelu",
                                          "block 0/mlp/proj",
                                          "block 0/out",
                                          "ln_f",
                                          "head/logits"});
  CHECK(seen["embed/out"] == Numbers{6, 1, 1, 6});
  CHECK(seen["block 0/ln_1"] == Numbers{1, -1, -1, 1});
  CHECK(seen["block 0/attn/q"] == Numbers{5, 6, 5, 6});
  CHECK(seen["block 0/attn/softmax"] == Numbers{1, 0, 0.5, 0.5});
  CHECK(seen["block 0/attn/proj"] == Numbers{1.5, 0.25, 1.5, 0.25});
  CHECK(seen["block 0/mid"] == Numbers{7.5, 1.25, 2.5, 6.25});
  const double mlp = 2 * 0.841344746068543 - 0.5;  // gelu(1)
  CHECK(compare(seen["block 0/out"], Numbers{7.5, 1.25 + mlp, 2.5, 6.25 + mlp}, {4}).max_abs <=
        1e-14);
  CHECK(compare(seen["ln_f"], Numbers{2.5, -3, -1.5, 3}, {4}).max_abs <= 1e-14);
  CHECK(compare(out.logits, Numbers{15, -18, -9, 18}, {4}).max_abs <= 1e-13);
  CHECK(out.shape == Shape{1, 2, 2});
  REQUIRE(out.loss);
  CHECK(*out.loss == Approx(std::log1p(std::exp(-33.0))).epsilon(1e-1));  // 5e-15, rounded at 1
  CHECK(reference.greedy({0}, 3) == std::vector<int>{0, 0, 0, 0});
}

TEST_CASE("reference: a later token changes no earlier logit, and does change its own") {
  const GptConfig config = tiny();
  const Reference<double> reference(config, arbitrary_weights(config));
  TokenBatch b = batch();
  const Numbers before = reference.forward(b).logits;
  b.tokens[3] = 7;  // sequence 0, position 3
  const Numbers after = reference.forward(b).logits;
  const int64_t V = config.vocab_size;
  CHECK(rows(before, 0, 3, V) == rows(after, 0, 3, V));
  CHECK(rows(before, 3, 4, V) != rows(after, 3, 4, V));
  CHECK(rows(before, 4, 5, V) != rows(after, 4, 5, V));
  CHECK(rows(before, 5, 10, V) == rows(after, 5, 10, V));  // the other sequence
}

TEST_CASE("reference: each choice in the config changes the result") {
  const GptConfig base = tiny();
  const Numbers logits = Reference<double>(base, arbitrary_weights(base)).forward(batch()).logits;
  const auto change = [&](auto edit) {
    GptConfig config = base;
    edit(config);
    const Numbers other =
        Reference<double>(config, arbitrary_weights(config)).forward(batch()).logits;
    return compare(other, logits, {2, 5, 11}).max_rel;
  };
  const double gelu = change([](GptConfig& c) { c.gelu = Gelu::tanh; });
  CHECK(gelu > 1e-6);
  CHECK(gelu < 1e-2);
  CHECK(change([](GptConfig& c) { c.bias = false; }) > 1e-2);
  CHECK(change([](GptConfig& c) { c.tied_head = false; }) > 1e-2);
  CHECK(change([](GptConfig& c) { c.layer_norm_eps = 0.1; }) > 1e-3);
  CHECK(change([](GptConfig& c) { c.n_inner = 20; }) > 1e-3);
}

TEST_CASE(
    "reference: without biases no parameter named bias is asked for, and with a tied head "
    "no lm_head") {
  GptConfig config = tiny();
  config.bias = false;
  const Weights weights = arbitrary_weights(config);
  const auto check_name = [&](const std::string& name) {
    CHECK(name.find("bias") == std::string::npos);
    CHECK(name.find("lm_head") == std::string::npos);
    return weights(name);
  };
  Reference<double>(config, check_name).forward(batch());
}

TEST_CASE("reference: a draw differs from double by rounding: not by nothing, not by much more") {
  const GptConfig config = {.n_layer = 2,
                            .n_head = 4,
                            .n_embd = 256,
                            .block_size = 32,
                            .vocab_size = 50,
                            .n_inner = 1024};
  TokenBatch b = {.B = 2, .T = 32, .tokens = {}};
  for (int i = 0; i < 64; ++i) b.tokens.push_back(i * 17 % 50);
  b.targets = b.tokens;
  const auto truth = Reference<double>(config, arbitrary_weights(config)).forward(b);
  const auto rounded = Reference<Rough<DType::f32>>(config, arbitrary_weights(config)).forward(b);
  const Difference d = compare(rounded.logits, truth.logits, {2, 32, 50});
  // Random-walk growth of a sum of n terms is about sqrt(n) u (Higham and Mary 2019);
  // 8 such sums in a row, and room for their condition.
  const double walk = std::sqrt(1024.0) * 0x1p-24;
  CHECK(d.rms_rel > 0.01 * walk);
  CHECK(d.rms_rel < 8 * walk);
  CHECK(*rounded.loss != *truth.loss);
  CHECK(*rounded.loss == Approx(*truth.loss).epsilon(8 * walk));
}

TEST_CASE("reference: a NaN in a weight reaches the logits and the loss") {
  const GptConfig config = tiny();
  const std::string name = "transformer.h.1.mlp.c_proj.bias";
  Numbers values = arbitrary_weights(config)(name);
  values[3] = std::numeric_limits<double>::quiet_NaN();
  TokenBatch b = batch();
  b.targets = b.tokens;
  const auto bad = with(arbitrary_weights(config), name, values);
  const auto out = Reference<double>(config, bad).forward(b);
  for (const double logit : out.logits) CHECK(std::isnan(logit));
  CHECK(std::isnan(*out.loss));
  CHECK(std::isnan(*Reference<Rough<DType::f32>>(config, bad).forward(b).loss));
}

TEST_CASE("reference: greedy appends each argmax, of the last block_size tokens") {
  const GptConfig config = tiny();
  const Reference<double> reference(config, arbitrary_weights(config));
  std::vector<int> tokens = {3, 1, 4};
  const std::vector<int> got = reference.greedy(tokens, 8);
  while (tokens.size() < 11) {
    const size_t T = std::min<size_t>(tokens.size(), 6);
    const Numbers logits =
        reference
            .forward({.B = 1,
                      .T = static_cast<int64_t>(T),
                      .tokens = {tokens.end() - static_cast<int64_t>(T), tokens.end()}})
            .logits;
    int best = 0;
    for (int v = 1; v < 11; ++v)
      if (logits[(T - 1) * 11 + size_t(v)] > logits[(T - 1) * 11 + size_t(best)]) best = v;
    tokens.push_back(best);
  }
  CHECK(got == tokens);
  CHECK_THROWS_AS(reference.greedy({}, 1), Error);
}

TEST_CASE("reference: batches and weights that do not fit the config are refused") {
  const GptConfig config = tiny();
  const Reference<double> reference(config, arbitrary_weights(config));
  const auto forward = [&](TokenBatch b) { return [&, b] { reference.forward(b); }; };
  CHECK_THROWS_WITH(forward({.B = 1, .T = 2, .tokens = {3, 11}})(),
                    Catch::Contains("token 1 is 11, outside the vocabulary of 11"));
  CHECK_THROWS_AS(forward({.B = 1, .T = 1, .tokens = {-1}})(), Error);
  CHECK_THROWS_AS(forward({.B = 1, .T = 1, .tokens = {1}, .targets = {-2}})(), Error);
  CHECK_THROWS_AS(forward({.B = 1, .T = 1, .tokens = {1}, .targets = {11}})(), Error);
  CHECK_THROWS_AS(forward({.B = 1, .T = 1, .tokens = {1}, .targets = {1, 2}})(), Error);
  CHECK_THROWS_AS(forward({.B = 1, .T = 3, .tokens = {1, 2}})(), Error);
  CHECK_THROWS_AS(forward({.B = 2, .T = 1, .tokens = {1}})(), Error);
  CHECK_THROWS_AS(forward({.B = 0, .T = 0, .tokens = {}})(), Error);
  CHECK_THROWS_AS(forward({.B = 1, .T = 7, .tokens = {1, 2, 3, 4, 5, 6, 7}})(), Error);
  const Reference<double> wrong(
      config, with(arbitrary_weights(config), "transformer.ln_f.weight", {1, 2, 3}));
  CHECK_THROWS_WITH(wrong.forward(batch()),
                    Catch::Contains("transformer.ln_f.weight holds 3 numbers; the config says 8"));
}
