// Short training runs of a small model, for the tests of the trainer.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/training/trainer.h"
#include "sim/machine/world.h"
#include "tests/model/small_gpt.h"

namespace tplab::testing {

struct StepBatch {
  Tokens tokens;
  std::vector<int32_t> targets;
};

// B 4, T 8, another batch at every step; a few targets are left out.
inline StepBatch batch_of_step(int64_t step) {
  StepBatch batch{{4, 8, {}}, {}};
  for (int64_t i = 0; i < 32; ++i) {
    batch.tokens.ids.push_back(static_cast<int32_t>((i * i + 29 * i + 13 * step + 7) % 67));
    batch.targets.push_back(static_cast<int32_t>((i * i + 31 * i + 17 * step + 5) % 67));
  }
  batch.targets[static_cast<size_t>(step % 32)] = -1;
  return batch;
}

struct Run {
  std::string text;  // for messages
  TrainerOptions options = {};

  const Parallelism& how() const { return options.parallelism; }
};

// The same training, spread like this.
inline TrainerOptions spread(TrainerOptions options, const Parallelism& how) {
  options.parallelism = how;
  return options;
}

// Where TrainerOptions differ in what the mesh does, and not in what is computed.
inline std::vector<Run> every_mesh(const TrainerOptions& base) {
  std::vector<Run> runs;
  for (int tp : {1, 2, 4}) {
    for (int dp : {1, 2}) {
      for (const bool sp : {false, true}) {
        for (const bool regather : {false, true}) {
          if ((sp && tp == 1) || (regather && !sp)) continue;
          Parallelism how{.tp = tp, .dp = dp, .sp = sp, .regather = regather, .uneven = true};
          if (dp > 1) how.zero = regather ? Zero::gradients : sp ? Zero::states : Zero::none;
          runs.push_back({how.text(), spread(base, how)});
          how.recompute = true;
          runs.push_back({how.text(), spread(base, how)});
          how.accumulation = 2;
          runs.push_back({how.text(), spread(base, how)});
        }
      }
    }
  }
  return runs;
}

// Called on every rank: what a rank does once it has a trainer.
using RankBody = std::function<void(Rank&, Trainer&)>;

inline std::vector<RankRecord> on_mesh(const WeightSource& source, const Run& run,
                                       const RankBody& body) {
  const Mesh mesh = run.how().mesh();
  return World({.tp = mesh.tp, .dp = mesh.dp, .threads_per_rank = 1}).run([&](Rank& rank) {
    const auto trainer = make_trainer(rank, source, run.options);
    body(rank, *trainer);
  });
}

// A rank's flat list, on the host.
inline std::vector<double> on_host(Device& device, const Array& list) {
  std::vector<double> values(static_cast<size_t>(list.count()));
  to_host(device, list, values);
  return values;
}

}  // namespace tplab::testing
