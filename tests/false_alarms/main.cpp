// Verifies thousands of random right models, and prints how near their errors came to their bounds.
//
//   false_alarms [models] [first]      1000 models from number 1; exit 1 if one is called wrong
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "tests/verify/random_models.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

// Of one kind of runs: how many came how near, and which nearest.
struct Distribution {
  std::string what;
  std::vector<std::pair<double, std::string>> ratios = {};

  void add(const Closest& closest, const std::string& model) {
    ratios.emplace_back(closest.ratio, closest.where + "; " + model);
  }
  void print() {
    std::sort(ratios.rbegin(), ratios.rend());
    const auto beyond = [&](double limit) {
      return std::count_if(ratios.begin(), ratios.end(),
                           [&](const auto& r) { return !(r.first <= limit); });
    };
    fmt::print("{}: {} models, error over bound at most {:.3f}, median {:.3f}\n", what,
               ratios.size(), ratios.front().first, ratios[ratios.size() / 2].first);
    for (double limit : {0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0})
      fmt::print("  beyond {:.1f}: {}\n", limit, beyond(limit));
    for (size_t i = 0; i < std::min<size_t>(5, ratios.size()); ++i)
      fmt::print("  {:.3f} {}\n", ratios[i].first, ratios[i].second);
  }
};

int run(uint64_t models, uint64_t first) {
  // What steps leave may differ by as much as turning an update round does, and no more: there 1 is
  // a limit that is reached, and not a chance.
  constexpr DType kDTypes[] = {DType::f64, DType::f32, DType::bf16};
  std::vector<Distribution> kinds;
  for (const DType dtype : kDTypes)
    for (const char* what : {"forward", "gradients and losses", "after steps"})
      kinds.push_back({fmt::format("{} {}", what, name(dtype))});
  for (uint64_t seed = first; seed < first + models; ++seed) {
    const RandomModel model(seed);
    const Report forward = model.verify_forward();
    const Report training = model.verify_training();
    for (size_t i = 0; const DType dtype : kDTypes) {
      kinds[i++].add(closest_forward(forward, dtype), model.text());
      kinds[i++].add(closest_training(training, dtype, false), model.text());
      kinds[i++].add(closest_training(training, dtype, true), model.text());
    }
    for (const Distribution& kind : kinds)
      if (!(kind.ratios.back().first <= 1))
        fmt::print("CALLED WRONG: {:.3f} {}\n", kind.ratios.back().first,
                   kind.ratios.back().second);
  }
  bool good = true;
  for (Distribution& kind : kinds) {
    kind.print();
    good = good && kind.ratios.front().first <= 1;
  }
  return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000,
               argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
