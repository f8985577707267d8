// The verifier for training: gradients and optimizer steps on every mesh held against the
// reference.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/training/trainer.h"
#include "sim/world.h"
#include "verify/golden.h"
#include "verify/predict.h"
#include "verify/training_truth.h"
#include "verify/verify.h"

namespace tplab {

// One way to spread a training step over ranks.
struct TrainingMesh {
  int tp = 1, dp = 1;
  bool sp = false, regather = false, recompute = false;
  int zero = 0;
  std::string text() const;  // "tp 2, dp 2, SP, ZeRO 1"
};

// Every sensible combination: SP off, on and gathering again where tp > 1; ZeRO where dp > 1.
std::vector<TrainingMesh> training_meshes(const std::vector<int>& tps, const std::vector<int>& dps);

struct TrainingRun {
  TrainingMesh mesh;
  DType dtype = DType::f64;
  // Under the names of TrainingTruth. `replicas_identical`: over all ranks that hold the same part.
  std::vector<SiteResult> results;
  std::vector<AgainstResult> against;  // the golden file
  std::string disagreement;            // between counted and predicted collectives of a step
  std::vector<Event> events;           // of rank 0, in one step
  std::vector<RankRecord> ranks;       // owns the sites of the events
  std::optional<Finding> finding;      // the first thing that is wrong
  bool good() const { return !finding; }
};

struct TrainingReport {
  GptConfig config;
  std::string source;
  int64_t batch = 0, length = 0, steps = 0;
  Algorithm algorithm = Algorithm::direct;
  std::vector<TrainingRun> runs;
  std::vector<AgainstResult> reference_against;  // the reference itself, against the golden file
  bool good() const;
};

// What a test may replace: the trainer of one rank.
using TrainerFactory = std::function<std::unique_ptr<Trainer>(
    Rank&, const WeightSource&, const ShardPlan&, const TrainerOptions&)>;

struct TrainingVerifyOptions {
  std::vector<TrainingMesh> meshes;
  std::vector<DType> dtypes = {DType::f64, DType::f32};
  std::vector<TrainingBatch> batches;  // the first for the gradients, then one a step
  TrainRecipe recipe = {1e-3, 0.9, 0.99, 1e-8, 0.1, 1.0};
  const Golden* golden = nullptr;  // whose batches these are
  Algorithm algorithm = Algorithm::direct;
  std::function<void(const std::string& what, double done)> progress = {};
  // Seams for tests: break the weights, the collectives or the trainer, and not the model.
  const WeightSource* model_weights = nullptr;
  CommFactory make_comm = {};
  TrainerFactory make_trainer = {};
};

// Runs the reference once and the model on every mesh in every dtype. A difference is a result, not
// an exception. Throws Error(usage) for a mesh that does not fit the model or the batches.
TrainingReport verify_training(const WeightSource& source, const TrainingVerifyOptions& options);

}  // namespace tplab
