// What a run is held against: the reference's activations, and how far off rounding may take one.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/tokens.h"
#include "model/weights.h"
#include "verify/reference.h"
#include "verify/verify.h"

namespace tplab {

// A whole parameter of the source, under nanoGPT's name, as the reference wants it.
std::vector<double> whole_parameter(const WeightSource& source, const std::string& name);

// How far rounding may take a loss that is computed in f64 from `vocab` logits at each of
// `positions`: sums of n positive terms are off by at most n u of themselves (Higham 2002, section
// 4.2), which is V u in the logarithm of one, and some more in taking it.
double loss_rounding(double loss, int64_t vocab, int64_t positions);

class Truth {
 public:
  // Runs the reference in f64 and in f32.
  Truth(const WeightSource& source, const Tokens& tokens, const std::vector<int32_t>& targets,
        const std::function<void(const std::string&)>& progress);

  // Null where the reference has no such site.
  const Activation* find(const std::string& site) const;
  Bound bound(const std::string& site, DType dtype) const;
  std::optional<double> loss() const { return loss_; }
  // |log sum exp(a) - log sum exp(b)| <= max |a - b|, and the target's logit moves as far: twice
  // the largest error of a logit. The mean over positions is no further off than its worst term.
  // The loss is computed from them in f64, as the reference's is: both round.
  double loss_bound(DType dtype) const {
    return 2 * bound("head/logits", dtype).max_abs + 2 * loss_rounding_;
  }

 private:
  std::map<std::string, Activation> activations_;
  std::map<std::string, Bound> dense_error_;  // of the reference in f32
  std::optional<double> loss_;
  double loss_rounding_ = 0;
};

}  // namespace tplab
