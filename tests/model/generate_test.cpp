// Sampling, and generation on virtual ranks.
#include "model/generate.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <mutex>

#include "model/init.h"
#include "sim/error.h"
#include "sim/machine/world.h"

using namespace tplab;

namespace {

// What each rank generated.
std::vector<std::vector<int32_t>> generate_at(int tp, const std::vector<int32_t>& prompt,
                                              int64_t n_new, const Sampling& sampling) {
  const auto source = initial_weights(find_preset("nano-cpu").config);
  const ShardPlan plan(source->architecture(), tp);
  std::vector<std::vector<int32_t>> tokens(static_cast<size_t>(tp));
  World({.tp = tp}).run([&](Rank& rank) {
    const Network gpt(rank, *source, plan, DType::f64);
    tokens[static_cast<size_t>(rank.index())] = generate(gpt, prompt, n_new, sampling);
  });
  return tokens;
}

}  // namespace

TEST_CASE("pick: temperature 0 takes the largest logit, the lowest id on ties") {
  CHECK(pick(std::vector<double>{1, 3, 2}, {.temperature = 0}, 0) == 1);
  CHECK(pick(std::vector<double>{1, 3, 3}, {.temperature = 0}, 0) == 1);
}

TEST_CASE("pick: frequencies follow softmax(logits / temperature)") {
  const std::vector<double> logits = {0.0, 1.0, 2.0, -1.0};
  const Sampling sampling{.temperature = 0.7, .seed = 5};
  constexpr int kDraws = 40000;
  std::vector<double> frequency(4), expected(4);
  for (uint64_t step = 0; step < kDraws; ++step)
    frequency[static_cast<size_t>(pick(logits, sampling, step))] += 1.0 / kDraws;
  double total = 0;
  for (double l : logits) total += std::exp(l / 0.7);
  for (size_t i = 0; i < 4; ++i) {
    const double p = std::exp(logits[i] / 0.7) / total;
    // The binomial's standard deviation; five of them.
    CHECK(std::abs(frequency[i] - p) <= 5 * std::sqrt(p * (1 - p) / kDraws));
  }
}

TEST_CASE("pick: top-k and top-p leave only the most likely tokens") {
  const std::vector<double> logits = {0.0, 3.0, 2.0, -1.0};  // 0.035, 0.71, 0.26, 0.013
  for (uint64_t step = 0; step < 1000; ++step) {
    const int32_t k = pick(logits, {.top_k = 2}, step);
    REQUIRE((k == 1 || k == 2));
    REQUIRE(pick(logits, {.top_p = 0.5}, step) == 1);
    const int32_t p = pick(logits, {.top_p = 0.9}, step);
    REQUIRE((p == 1 || p == 2));
  }
  CHECK(pick(logits, {.top_k = 1}, 7) == 1);
}

TEST_CASE("pick: a NaN logit is an error, not a token") {
  CHECK_THROWS_AS(pick(std::vector<double>{1, std::nan(""), 2}, {.temperature = 0}, 0), Error);
  CHECK_THROWS_AS(pick(std::vector<double>{1, std::nan(""), 2}, {}, 0), Error);
}

TEST_CASE("sampling: values without meaning are refused") {
  CHECK_THROWS_AS(check(Sampling{.temperature = -1}), Error);
  CHECK_THROWS_AS(check(Sampling{.temperature = std::nan("")}), Error);
  CHECK_THROWS_AS(check(Sampling{.top_k = -3}), Error);
  CHECK_THROWS_AS(check(Sampling{.top_p = 0}), Error);
  CHECK_THROWS_AS(check(Sampling{.top_p = 1.5}), Error);
}

TEST_CASE("generate: every rank draws the same tokens, the same at every tp") {
  const Sampling sampling{.temperature = 0.9, .top_k = 20, .seed = 3};
  const auto alone = generate_at(1, {5, 17, 3}, 40, sampling);
  for (int tp : {2, 4}) {
    for (const auto& tokens : generate_at(tp, {5, 17, 3}, 40, sampling)) CHECK(tokens == alone[0]);
  }
}

TEST_CASE("generate: past the block the context slides, as if recomputed without a cache") {
  const std::vector<int32_t> prompt = {1, 2, 3, 60};
  const int64_t n_new = 75;  // the block is 64
  const auto with_cache = generate_at(2, prompt, n_new, {.temperature = 0})[0];
  const auto source = initial_weights(find_preset("nano-cpu").config);
  const ShardPlan plan(source->architecture(), 1);
  World({.tp = 1}).run([&](Rank& rank) {
    const Network gpt(rank, *source, plan, DType::f64);
    std::vector<int32_t> context = prompt;
    std::vector<double> logits;
    for (int64_t i = 0; i < n_new; ++i) {
      const size_t length = std::min<size_t>(context.size(), 64);
      const Tokens window{1,
                          static_cast<int64_t>(length),
                          {context.end() - static_cast<std::ptrdiff_t>(length), context.end()}};
      logits.resize(length * 65);
      to_host(gpt.forward(window), logits);
      context.push_back(pick(std::span(logits).last(65), {.temperature = 0}, 0));
    }
    CHECK(std::vector<int32_t>(context.begin() + 4, context.end()) == with_cache);
  });
}

TEST_CASE("generate: stops when told to") {
  const auto source = initial_weights(find_preset("nano-cpu").config);
  const ShardPlan plan(source->architecture(), 1);
  World({.tp = 1}).run([&](Rank& rank) {
    const Network gpt(rank, *source, plan, DType::f32);
    int seen = 0;
    const auto tokens = generate(gpt, {1}, 10, {}, [&](int32_t) { return ++seen < 3; });
    CHECK(tokens.size() == 3);
  });
}

TEST_CASE("generate: prompts that are empty, too long or outside the vocabulary are refused") {
  CHECK_THROWS_AS(generate_at(1, {}, 1, {}), Error);
  CHECK_THROWS_AS(generate_at(2, std::vector<int32_t>(65, 1), 1, {}), Error);
  CHECK_THROWS_AS(generate_at(2, {65}, 1, {}), Error);
  CHECK_THROWS_AS(generate_at(2, {-1}, 1, {}), Error);
}

TEST_CASE("kv cache: how many positions are filled is on the device, always in the same place") {
  const ShardPlan plan(find_preset("nano-cpu").config, 1);
  World({.tp = 1}).run([&](Rank& rank) {
    KvCache cache(rank, plan, DType::f32, 3);
    const int32_t* const at = cache.past().filled.array().as<int32_t>();
    const auto holds = [&](int32_t filled) {
      CHECK(cache.length() == filled);
      CHECK(cache.past().at_most == filled);
      CHECK(cache.past().filled.array().as<int32_t>() == at);
      CHECK(cache.past().filled.shape() == Shape{3});
      CHECK(std::all_of(at, at + 3, [&](int32_t each) { return each == filled; }));
    };
    holds(0);
    cache.advance(5);
    holds(5);
    cache.advance(1);
    holds(6);
    cache.clear();
    holds(0);
  });
}
