#include "model/training/loop.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "sim/error.h"
#include "sim/machine/rank_numbers.h"
#include "sim/ops/optimizer.h"

namespace tplab {

namespace {

double communication_seconds(const Ledger& ledger) {
  int64_t total_ns = 0;
  for (const Event& event : ledger.events()) total_ns += event.end_ns - event.start_ns;
  return static_cast<double>(total_ns) * 1e-9;
}

double mean_loss(Trainer& trainer, const Dataset& data, Part part, const LoopOptions& options,
                 int64_t done) {
  double total = 0;
  for (int64_t i = 0; i < options.eval_batches; ++i) {
    // Another seed than the training's, so that the batches are others.
    const Batch batch =
        sample(data, part, i, {0, options.sequences}, options.length, options.seed + 1);
    const double loss = trainer.evaluate(batch.x, batch.y.ids);
    if (!std::isfinite(loss))  // what came to this must not be saved over what was good
      fail(fmt::format("after step {}: the {} loss is not a finite number; first at {}", done - 1,
                       name(part), trainer.first_not_finite(batch.x, batch.y.ids)),
           kLearnMoreSlowly);
    total += loss;
  }
  return total / static_cast<double>(options.eval_batches);
}

// A layer norm of numbers whose squares overflow gives zeros, so that the loss of a ruined model
// can be finite. It must not be saved over what was good.
void check_weights(Rank& rank, const Trainer& trainer, int64_t done) {
  const FlatParameters& parameters = trainer.parameters();
  const DType dtype = parameters.values.dtype();
  const double most = dtype == DType::f64 ? std::numeric_limits<double>::max()
                                          : double{std::numeric_limits<float>::max()};
  for (const FlatEntry& entry : parameters.layout.entries()) {
    const Array values = parameters.values.part(entry.first, Shape{entry.count});
    if (sum_of_squares(rank.device(), values) <= most) continue;  // NaN is not
    fail(fmt::format("after step {}: {} is so large that its squares overflow {}", done - 1,
                     trainer.plan().rows()[entry.row].tensor, name(dtype)),
         kLearnMoreSlowly);
  }
}

StepRecord take_step(Rank& rank, Trainer& trainer, const Dataset& data, const LoopOptions& options,
                     int64_t step) {
  rank.ledger().clear();
  const int64_t start = rank.clock().now_ns();
  const Batch batch =
      sample(data, Part::train, step, {0, options.sequences}, options.length, options.seed);
  const StepResult result =
      trainer.step(batch.x, batch.y.ids, step, options.schedule.learning_rate_at(step));
  const MemoryUse memory = rank.device().memory();
  return {.step = step,
          .loss = result.loss,
          .step_time_s = static_cast<double>(rank.clock().now_ns() - start) * 1e-9,
          .forward_time_s = result.forward_s,
          .backward_time_s = result.backward_s,
          .optimizer_time_s = result.optimizer_s,
          .communication_time_s = communication_seconds(rank.ledger()),
          .tokens = options.sequences * options.length,
          .samples = options.sequences,
          .memory_allocated_bytes = memory.current_bytes,
          .memory_peak_bytes = memory.peak_bytes,
          .activation_bytes = result.activation_bytes};
}

}  // namespace

Evaluation evaluate(Trainer& trainer, const Dataset& data, const LoopOptions& options,
                    int64_t steps_done) {
  return {mean_loss(trainer, data, Part::train, options, steps_done),
          mean_loss(trainer, data, Part::val, options, steps_done)};
}

int64_t train_loop(Rank& rank, Trainer& trainer, const Dataset& data, const LoopOptions& options,
                   const LoopHooks& hooks) {
  const auto save = [&](int64_t done) {
    if (!hooks.save) return;
    check_weights(rank, trainer, done);
    hooks.save(done);
  };
  const auto evaluate_and_save = [&](int64_t done) {
    if (hooks.on_evaluation) hooks.on_evaluation(done, evaluate(trainer, data, options, done));
    save(done);
  };
  int64_t done = options.first_step;
  while (done < options.steps) {
    if (hooks.should_stop && most_of_ranks(rank, hooks.should_stop(done)) > 0) {
      save(done);
      return done;
    }
    const StepRecord record = take_step(rank, trainer, data, options, done);
    ++done;
    if (hooks.on_step) hooks.on_step(record);
    if (done == options.steps || (options.eval_interval > 0 && done % options.eval_interval == 0))
      evaluate_and_save(done);
  }
  return done;
}

}  // namespace tplab
