// The reference's optimizer steps: nanoGPT's training loop with everything whole and in one place.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "verify/reference/reference.h"

namespace tplab {

struct TrainRecipe {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.99, eps = 1e-8;
  double weight_decay = 0.1;                // of matrices; biases and layer norms do not decay
  double grad_clip = 1.0;                   // the largest global norm; 0 is none
  std::vector<double> learning_rates = {};  // one a step; empty: learning_rate at each

  double learning_rate_at(size_t step) const {  // from 0
    return learning_rates.empty() ? learning_rate : learning_rates[step];
  }
};

// A parameter in training, whole, with the optimizer's state, which is empty before the first step
// and after the last.
template <class Real>
struct TrainedParameter {
  std::vector<Real> value, m = {}, v = {};
  bool decays = false;
};

// One step of AdamW a batch (Loshchilov and Hutter 2019), from a fresh optimizer state:
//   norm = |all gradients|;  g = gradient * min(1, grad_clip / (norm + 1e-6))
//   p -= lr weight_decay p                                  where p is a matrix
//   m = beta1 m + (1 - beta1) g     v = beta2 v + (1 - beta2) g^2
//   p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)          t = 1, 2, ...
// as torch.optim.AdamW and torch.nn.utils.clip_grad_norm_ compute them in nanoGPT's train.py. All
// state is in Real: double is the truth; Rough a draw of what rounding may do to it. The
// trainer holds nothing before the first step, p, m and v between steps, and p after the last one.
template <class Real>
class ReferenceTrainer {
 public:
  // ranks: see Reference. Throws Error(usage) for learning rates that are not one for each of
  // `steps`.
  ReferenceTrainer(const Architecture& architecture, Weights weights, TrainRecipe recipe,
                   size_t steps, int64_t ranks = 1);

  // Of the loss with the parameters as they are. Throws as Reference::backward does.
  ReferenceGradients gradients(const TokenBatch& batch) const;
  // The same, handed over one by one.
  ReferenceLoss gradients(const TokenBatch& batch, const TakeGradient<Real>& take) const;
  // What clipping multiplies gradients of this norm with.
  double clip(double norm) const;
  // Step number `step`, from 0, of one parameter, given the norm of all gradients. divisors, unless
  // null, gets each element's sqrt(v̂) + eps. Every parameter takes its step before the next
  // gradients are asked for.
  void update(const std::string& name, const std::vector<double>& gradient, double norm,
              size_t step, std::vector<double>* divisors = nullptr);

  // Those that have taken a step. While there are none, gradients are those of the first weights.
  std::map<std::string, TrainedParameter<Real>>& parameters() { return parameters_; }

 private:
  Reference<Real> reference() const;

  Architecture architecture_;
  Weights weights_;
  TrainRecipe recipe_;
  size_t steps_;
  int64_t ranks_;
  std::map<std::string, TrainedParameter<Real>> parameters_;
};

// The norm of the parameters' norms, as clip_grad_norm_ computes it.
double global_norm(const ReferenceGradients& d);

struct ReferenceTraining {
  std::vector<double> losses;                             // of each batch, before its step
  std::vector<double> grad_norms;                         // global, before clipping
  std::map<std::string, std::vector<double>> parameters;  // after the last step
};

// A step for each batch. Throws as ReferenceTrainer does, and Error(usage) for no batches.
ReferenceTraining train_reference(const Architecture& architecture, const Weights& weights,
                                  const std::vector<TokenBatch>& batches,
                                  const TrainRecipe& recipe);

extern template class ReferenceTrainer<double>;
extern template class ReferenceTrainer<Rough<DType::f32>>;
extern template class ReferenceTrainer<Rough<DType::f64>>;
extern template class ReferenceTrainer<Rough<DType::bf16>>;

}  // namespace tplab
