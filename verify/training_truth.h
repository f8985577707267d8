// What training is held against: the reference's gradients and steps, and how far off rounding may
// take each.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/tokens.h"
#include "model/weights.h"
#include "verify/reference.h"
#include "verify/reference_train.h"
#include "verify/truth.h"
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
  // Runs the reference's backward pass on batches[0] and its training on the others, and draws of
  // both for the bounds of each dtype. REQUIRES: at least one dtype.
  TrainingTruth(const WeightSource& source, const std::vector<TrainingBatch>& batches,
                const TrainRecipe& recipe, const std::vector<DType>& dtypes,
                const TellProgress& progress);

  const std::vector<double>& values(const std::string& name) const;
  // Of gradients as Truth's. What follows from them, by what they may do to it at most:
  //   loss         2 e, e the bound of a logit, and the loss's own rounding (see Truth::loss_bound)
  //   step's norm  |ε|, ε the bounds of all its gradients: ||g + ε| - |g|| <= |ε|, and a roundoff
  //                of f64, in which it is added up, a square: half of one each here and there. None
  //                where that is no less than the norm itself.
  //   step's loss  the loss's and |g| |δ|, δ the bounds of all parameters before the step: to first
  //                order a loss at p + δ differs by g · δ
  //   after        AdamW divides a gradient by its own size: where one is no larger than its error,
  //                the step's direction is rounding. A gradient off by ε moves its element by
  //                2 lr clip ε / (√v̂ + eps), once for m̂ and once for √v̂, and by no more than
  //                turning it round does: 2 lr (Σ a² / b)^½, a and b the weights of gradients in m̂
  //                and of their squares in v̂, by Cauchy and Schwarz. To that come the update's own
  //                roundings, each step one of keeping p and one of the sum.
  // ε of an element is kMargin times the root of the mean over the draws of its error's square, or
  // over its row's too, whichever is larger, and clipping's: g times the relative bound of the
  // norm. A later step's gradients see parameters off by δ: of two draws each element may turn
  // round in neither, so the draws' parameters are moved by up to half of δ at random as well. Of
  // a dtype that was not drawn for: another's, times the ratio of their roundoffs.
  Bound bound(const std::string& name, DType dtype) const;
  const std::vector<std::string>& names() const { return names_; }  // in the order of the network

 private:
  template <DType dtype>
  void draw_gradients(const Architecture& architecture, const Weights& weights,
                      const TokenBatch& batch, const TellProgress& progress);
  template <DType dtype>
  void draw_steps(const Architecture& architecture, const Weights& weights,
                  const std::vector<TokenBatch>& batches, const TrainRecipe& recipe,
                  const TellProgress& progress);
  void list_names(const Architecture& architecture, size_t steps);

  std::map<std::string, std::vector<double>> values_;
  std::map<DType, std::map<std::string, Bound>> bounds_;
  std::vector<std::string> names_;
};

}  // namespace tplab
