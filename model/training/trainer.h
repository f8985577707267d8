// One rank of a training run on a dp x tp mesh: a step from a batch to updated parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/network.h"
#include "model/parallelism.h"
#include "model/training/optimizer.h"

namespace tplab {

// What helps where finite weights have learned what is not: such settings are a mistake of usage.
inline constexpr const char* kLearnMoreSlowly =
    "lower --lr, raise --warmup, or train in --dtype f64";

struct TrainerOptions {
  DType dtype = DType::f32;
  OptimizerOptions optimizer = {};
  Parallelism parallelism = {};
  double dropout = 0;
  uint64_t seed = 1337;  // of dropout
};

// What one step did. Times are this rank's, on its clock.
struct StepResult {
  double loss = 0;  // mean over the whole batch: the same on every rank
  double grad_norm = 0;
  double forward_s = 0, backward_s = 0, optimizer_s = 0;  // waiting included
  int64_t activation_bytes = 0;  // what forward left for backward, measured
};

// What does not depend on how the stream lives. Every rank of the mesh makes its own and makes the
// same calls.
class Trainer {
 public:
  virtual ~Trainer() = default;

  // One optimizer step. `step` counts from 0 and picks the dropout masks.
  //   tokens, targets: [accumulation * dp * B, T], the whole mesh's; replica d takes, in
  //   micro-batch i, sequences (i dp + d) B ..
  // Throws Error(usage) if the loss or the gradients' norm is not a number, naming the step and the
  // first site of the forward pass with a number that is not finite; parameters are then untouched.
  // Its advice supposes that the parameters were finite before the first step.
  virtual StepResult step(const Tokens& tokens, const std::vector<int32_t>& targets, int64_t step,
                          double learning_rate) = 0;

  // Forward and backward only: the loss, and the gradients summed over the mesh, ZeRO 2 apart.
  virtual double gradients(const Tokens& tokens, const std::vector<int32_t>& targets) = 0;

  // The mean loss of these sequences, without dropout. Replicas share them out.
  virtual double evaluate(const Tokens& tokens, const std::vector<int32_t>& targets) = 0;

  // The first site of their forward pass with a number that is not finite, for people.
  virtual std::string first_not_finite(const Tokens& tokens,
                                       const std::vector<int32_t>& targets) = 0;

  virtual const ShardPlan& plan() const = 0;
  virtual const FlatParameters& parameters() const = 0;
  virtual Optimizer& optimizer() = 0;
};

// Throws Error(usage) for a dropout that is no rate, and what Parallelism::check throws.
void check_options(const TrainerOptions& options);

// Throws what check_options and check_shares throw, and Error(usage) for a parallelism that is of
// another mesh than the rank. A batch that cannot be shared out is found by the step.
std::unique_ptr<Trainer> make_trainer(Rank& rank, const WeightSource& source,
                                      const TrainerOptions& options);

}  // namespace tplab
