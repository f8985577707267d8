#include "model/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/decode_steps.h"
#include "sim/error.h"
#include "sim/random.h"

namespace tplab {

namespace {

struct Candidate {
  int32_t token;
  double weight;  // exp(logit - largest), not yet normalised
};

// The candidates that top_k and top_p leave, most likely first.
std::vector<Candidate> candidates(std::span<const double> logits, const Sampling& sampling) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<Candidate> all;
  for (size_t i = 0; i < logits.size(); ++i) {
    all.push_back(
        {static_cast<int32_t>(i), std::exp((logits[i] - largest) / sampling.temperature)});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Candidate& a, const Candidate& b) { return a.weight > b.weight; });
  if (sampling.top_k > 0 && sampling.top_k < static_cast<int64_t>(all.size()))
    all.resize(static_cast<size_t>(sampling.top_k));
  if (sampling.top_p < 1.0) {
    double total = 0, sum = 0;
    for (const Candidate& c : all) total += c.weight;
    size_t keep = 0;
    while (keep < all.size() && sum < sampling.top_p * total) sum += all[keep++].weight;
    all.resize(keep);
  }
  return all;
}

}  // namespace

void check(const Sampling& sampling) {
  if (!(sampling.temperature >= 0 && std::isfinite(sampling.temperature)))
    fail(fmt::format("temperature {} is not a number from 0 up", sampling.temperature),
         "use 0 for greedy decoding, 1 for the model's own distribution");
  if (sampling.top_k < 0)
    fail(fmt::format("top-k {} is negative", sampling.top_k), "use 0 to keep every token");
  if (!(sampling.top_p > 0 && sampling.top_p <= 1))
    fail(fmt::format("top-p {} is not in (0, 1]", sampling.top_p), "use 1 to keep every token");
}

int32_t pick(std::span<const double> logits, const Sampling& sampling, uint64_t step) {
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]))
      fail(
          fmt::format("the logit of token {} is NaN", i),
          "weights that are finite overflow: use --dtype f64; `tplab verify` names the first site");
  }
  if (sampling.temperature == 0) {
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  const std::vector<Candidate> kept = candidates(logits, sampling);
  double total = 0;
  for (const Candidate& c : kept) total += c.weight;
  const double target = RandomStream(sampling.seed, "sample").uniform(step) * total;
  double sum = 0;
  for (const Candidate& c : kept) {
    sum += c.weight;
    if (target < sum) return c.token;
  }
  return kept.back().token;  // target rounded up to the total
}

std::vector<int32_t> generate(const Network& network, const std::vector<int32_t>& prompt,
                              int64_t n_new, const Sampling& sampling, const OnToken& on_token) {
  check(sampling);
  const auto block = static_cast<size_t>(network.architecture().context);
  if (prompt.empty()) fail("the prompt is empty", "give at least one token to continue");
  if (prompt.size() > block)
    fail(
        fmt::format("the prompt has {} tokens and the model's context is {}", prompt.size(), block),
        fmt::format("shorten the prompt to its last {} tokens", block));

  KvCache cache = network.new_cache(1);
  std::vector<int32_t> context = prompt, fresh = prompt;  // fresh: not in the cache yet
  std::vector<double> logits(static_cast<size_t>(network.architecture().vocabulary));
  DecodeSteps steps(network, cache);
  for (int64_t step = 0; step < n_new; ++step) {
    if (context.size() > block) {
      cache.clear();
      fresh.assign(context.end() - static_cast<std::ptrdiff_t>(block), context.end());
    }
    if (fresh.size() == 1)
      to_host(steps.next(fresh), logits);
    else
      to_host(network.next({1, std::ssize(fresh), fresh}, cache), logits);
    const int32_t token = pick(logits, sampling, static_cast<uint64_t>(step));
    context.push_back(token);
    fresh = {token};
    if (on_token && !on_token(token)) break;
  }
  return {context.begin() + static_cast<std::ptrdiff_t>(prompt.size()), context.end()};
}

}  // namespace tplab
