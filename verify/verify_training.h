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

// Every sensible combination: SP off, on and gathering again where tp > 1; ZeRO where dp > 1.
std::vector<Parallelism> training_meshes(const std::vector<int>& tps, const std::vector<int>& dps,
                                         bool uneven = false);

struct TrainingRun {
  Parallelism mesh;
  DType dtype = DType::f64;
  // Under the names of gradient_truth and steps_truth. `replicas_identical`: over all ranks that
  // hold the same part.
  std::vector<SiteResult> results;
  std::vector<AgainstResult> against;  // the golden file
  std::string disagreement;            // between counted and predicted collectives of a step
  std::vector<Event> events;           // of rank 0, in one step
  std::vector<RankRecord> ranks;       // owns the sites of the events
  std::optional<Finding> finding;      // the first thing that is wrong
  // The first thing that the golden file has otherwise, though tplab and its reference agree.
  std::optional<Finding> golden_finding;
  bool good() const { return !finding && !golden_finding; }
};

// A mesh that could not run, and why.
struct LeftOut {
  Parallelism mesh;
  std::string why;
};

struct TrainingReport {
  Architecture architecture;
  std::string source;
  int64_t batch = 0, length = 0, steps = 0;
  Algorithm algorithm = Algorithm::direct;
  std::vector<TrainingRun> runs;
  std::vector<LeftOut> left_out;
  std::vector<AgainstResult> reference_against;  // the reference itself, against the golden file
  std::vector<NotCompared> not_compared;         // the golden file's other tensors
  bool good() const;
};

// What a test may replace: the trainer of one rank.
using TrainerFactory =
    std::function<std::unique_ptr<Trainer>(Rank&, const WeightSource&, const TrainerOptions&)>;

struct TrainingVerifyOptions {
  std::vector<Parallelism> meshes;
  std::vector<DType> dtypes = {DType::f64, DType::f32};
  std::vector<TrainingBatch> batches;  // the first for the gradients, then one a step
  TrainRecipe recipe = {1e-3, 0.9, 0.99, 1e-8, 0.1, 1.0};
  const Golden* golden = nullptr;  // whose batches these are
  Algorithm algorithm = Algorithm::direct;
  std::function<void(const std::string& what, double done)> progress = {};
  // Seams for tests: break the weights, the collectives or the trainer, and not the model.
  const WeightSource* model_weights = nullptr;
  CommBreakage comm_breakage = {};
  TrainerFactory make_trainer = {};
};

// Throws Error(unavailable) if the parameters, or every site of a batch, of which there are
// `batches`, are more than this machine's memory. verify_training() calls it; so may whoever draws
// the batches.
void check_training_memory(const Architecture& architecture, const std::vector<Parallelism>& meshes,
                           const Shape& batch, int64_t batches, size_t dtypes);

// Runs the reference once and the model on every mesh in every dtype. A difference is a result, not
// an exception. A mesh over whose ranks or replicas the batches do not divide is left out. Throws
// Error(usage) for a tp that does not divide the model, or if every mesh would be left out, and
// Error(bad_file) for weights that are not finite or a golden file of which nothing is compared.
TrainingReport verify_training(const WeightSource& source, const TrainingVerifyOptions& options);

}  // namespace tplab
