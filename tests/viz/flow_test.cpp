// What a recorded step says that operations read and wrote.
#include "viz/recording/flow.h"

#include <catch2/catch.hpp>
#include <set>
#include <utility>

#include "model/init.h"
#include "small_model.h"
#include "viz/recording/step_on_meta.h"

using namespace tplab;
using namespace tplab::testing;

TEST_CASE("flow: ids are no values, and a gradient that is added to is told once") {
  const auto source = initial_weights(kSmallModel, {.seed = 1});
  for (const bool sp : {false, true}) {
    const StepOptions options{.parallelism = {.tp = 2, .sp = sp}, .batch = 1, .seq = 8};
    for (const Flow& flow : step_on_meta(*source, options).flows) {
      for (const FlowValue& value : flow.values) CHECK(value.dtype != DType::i32);
      int lookups = 0, gradients = 0;
      for (const FlowStep& step : flow.steps) {
        INFO(step.operation << " at " << step.site);
        std::set<std::pair<size_t, bool>> told;
        for (const FlowWeight& weight : step.weights) {
          CHECK(told.emplace(weight.row, weight.gradient).second);
          gradients += weight.gradient ? 1 : 0;
        }
        if (step.operation != "embedding") continue;
        CHECK(step.reads.empty());  // its ids
        CHECK(step.weights.size() == 1);
        ++lookups;
      }
      CHECK(lookups == 2);
      CHECK(gradients > 0);
    }
  }
}
