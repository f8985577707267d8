// What a run is held against: the reference's activations, and how far off rounding may take one.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/tokens.h"
#include "model/weights.h"
#include "verify/draws.h"
#include "verify/reference.h"
#include "verify/verify.h"

namespace tplab {

// Whole parameters of the source, under nanoGPT's names, as the reference wants them; none where
// the model has no such parameter. REQUIRES: the source outlives it.
Weights whole_parameters(const WeightSource& source);

// How far rounding may take a loss computed in `dtype` from `vocab` logits at each of `positions`:
//   the terms' sum   exp is off by 5 units in the last place, 10 u (sim/cpu/math.h), its argument
//                    x - max by u |x - max|, in the mean over the terms at most u ln V, for that is
//                    the most an entropy can be; each term is added at most 20 times in `dtype`
//   the rest         sums of n positive terms in f64, off by at most n u of themselves (Higham
//                    2002, section 4.2): of V terms in the reference, and of the positions; the
//                    logarithm, a difference, the mean
double loss_rounding(double loss, int64_t vocab, int64_t positions, DType dtype);

using TellProgress = std::function<void(const std::string& what)>;

class Truth {
 public:
  // Runs the reference, and draws of it for the bounds of each dtype. REQUIRES: at least one dtype.
  Truth(const WeightSource& source, const Tokens& tokens, const std::vector<int32_t>& targets,
        const std::vector<DType>& dtypes, const TellProgress& progress);

  // Null where the reference has no such site.
  const Activation* find(const std::string& site) const;
  // Of a dtype that was not drawn for: another's, times the ratio of their roundoffs.
  Bound bound(const std::string& site, DType dtype) const;
  std::optional<double> loss() const { return loss_; }
  // |log sum exp(a) - log sum exp(b)| <= max |a - b|, and the target's logit moves as far: twice
  // the largest error of a logit. The mean over positions is no further off than its worst term.
  double loss_bound(DType dtype) const {
    return 2 * bound("head/logits", dtype).max_abs +
           loss_rounding(*loss_, vocab_, positions_, dtype);
  }

 private:
  template <DType dtype>
  void draw(const Architecture& architecture, const Weights& weights, const TokenBatch& batch,
            const TellProgress& progress);

  std::map<std::string, Activation> activations_;
  std::map<DType, DrawnErrors> errors_;
  std::optional<double> loss_;
  int64_t vocab_, positions_;
};

}  // namespace tplab
