// The reference's optimizer steps: nanoGPT's training loop with everything whole and in one place.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "verify/reference.h"

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

struct ReferenceTraining {
  std::vector<double> losses;                             // of each batch, before its step
  std::vector<double> grad_norms;                         // global, before clipping
  std::map<std::string, std::vector<double>> parameters;  // after the last step
  // How far an error of e in each step's gradient of an element moves that element, over e:
  //   2 Σ lr clip / (√v̂ + eps), once for m̂ and once for √v̂;  0 where the gradient is exactly 0,
  // as a sum of no terms is.
  std::map<std::string, std::vector<double>> gains;
};

// One step of AdamW a batch (Loshchilov and Hutter 2019), from a fresh optimizer state:
//   norm = |all gradients|;  g = gradient * min(1, grad_clip / (norm + 1e-6))
//   p -= lr weight_decay p                                  where p is a matrix
//   m = beta1 m + (1 - beta1) g     v = beta2 v + (1 - beta2) g^2
//   p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)          t = 1, 2, ...
// as torch.optim.AdamW and torch.nn.utils.clip_grad_norm_ compute them in nanoGPT's train.py. All
// state is in Real: double is the truth; float, whose sums run left to right, shows what rounding
// alone costs. The whole model is in memory five times: p, g, m, v and the gains.
// Throws as Reference::backward does, and Error(usage) for no batches or for learning_rates that
// are not one a batch.
template <class Real>
ReferenceTraining train_reference(const GptConfig& config, const Weights& weights,
                                  const std::vector<TokenBatch>& batches,
                                  const TrainRecipe& recipe);

extern template ReferenceTraining train_reference<double>(const GptConfig&, const Weights&,
                                                          const std::vector<TokenBatch>&,
                                                          const TrainRecipe&);
extern template ReferenceTraining train_reference<float>(const GptConfig&, const Weights&,
                                                         const std::vector<TokenBatch>&,
                                                         const TrainRecipe&);

}  // namespace tplab
