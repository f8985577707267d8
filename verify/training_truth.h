// What training is held against: the reference's gradients and steps, and how far off rounding may
// take each.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/tokens.h"
#include "model/weights.h"
#include "verify/reference.h"
#include "verify/reference_train.h"
#include "verify/verify.h"

namespace tplab {

// One step's data: inputs and targets, [B, T] each.
struct TrainingBatch {
  Tokens tokens;
  std::vector<int32_t> targets;
};

// Names: "grad.<parameter>", "block i/grad", "embed/grad", "head/grad", "loss", "step k/loss",
// "step k/norm" and "after.<parameter>".
class TrainingTruth {
 public:
  // Runs the reference's backward pass on batches[0] and its training on the others, in f64 and in
  // f32.
  TrainingTruth(const WeightSource& source, const std::vector<TrainingBatch>& batches,
                const TrainRecipe& recipe, const std::function<void(const std::string&)>& progress);

  const std::vector<double>& values(const std::string& name) const;
  // As Truth's: the f32 reference's own error, times kMargin, scaled by the unit roundoff. Of a
  // single number that error is one draw, which may be small by luck, so a loss or a norm gets what
  // the errors of the arrays it comes from can do to it:
  //   loss         2 e, e the largest error of a logit (see Truth::loss_bound)
  //   step's loss  2 e + |g| |δ|, δ the error of all parameters after the last step: to first order
  //                a loss at p + δ differs by g · δ
  //   step's norm  |ε| / |g| of the first batch's gradients, times the norm (||g + ε| - |g|| <=
  //                |ε|), and the largest error of any step's norm, for what δ does to it
  // A loss and a norm are added up in double at any dtype: a roundoff of f64 more for each of the
  // loss's B T terms, of a norm's squares half of one, here and in the reference.
  // Of a gradient of a few numbers, a small norm's, the error is a few draws of one cause, which
  // may all be small by luck: as a part of its size it gets no less than the gradients all
  // together, and its largest no less than the largest of n normal draws, (2 ln 2n)^½ times their
  // deviation. AdamW divides a gradient by its own size, so of the smallest gradients an update is
  // mostly error, and the error of a whole parameter that of its unluckiest elements: one draw
  // each. An element gets, beside the reference's error, its gain (see ReferenceTraining) times the
  // bound of its parameter's gradient, and no more than turning its updates round can do: 5 lr a
  // step, since by Cauchy and Schwarz |m̂ / √v̂| <= (Σ a² / b)^½, a and b the weights of gradients in
  // m̂ and of their squares in v̂: at most 2.4 for nanoGPT's betas.
  Bound bound(const std::string& name, DType dtype) const;
  const std::vector<std::string>& names() const { return names_; }  // in the order of the network

 private:
  using Values = std::map<std::string, std::vector<double>>;
  template <class Real>
  Values run(const GptConfig& config, const Weights& weights,
             const std::vector<TrainingBatch>& batches, const TrainRecipe& recipe);

  void measure_errors(const Values& rounded);
  Bound error_of_updates(const std::string& parameter, DType dtype) const;
  double error_of_number(const std::string& name) const;

  Values values_, gains_;
  double turned_round_ = 0;  // 5 lr, over all steps
  int64_t positions_ = 0;    // B T of the largest batch
  int64_t parameter_count_ = 0;
  std::map<std::string, Bound> dense_error_;  // of the reference in f32
  double logit_error_ = 0, gradient_error_ = 0, parameter_error_ = 0, norm_error_ = 0;
  std::vector<std::string> names_;
};

}  // namespace tplab
