// What a run is held against: named arrays of the reference, and how far off rounding may take
// each.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/tokens.h"
#include "model/weights.h"
#include "verify/draws.h"
#include "verify/reference/reference.h"
#include "verify/verify.h"

namespace tplab {

// Whole parameters of the source, under nanoGPT's names, as the reference wants them; none where
// the model has no such parameter. REQUIRES: the source outlives it.
Weights whole_parameters(const WeightSource& source);

// How far rounding may take a loss computed in `dtype` from `vocab` logits at each of `positions`;
// of bf16 that is f32:
//   the terms' sum   exp is off by 5 units in the last place, 10 u (sim/cpu/math.h), its argument
//                    x - max by u |x - max|, in the mean over the terms at most u ln V, for that is
//                    the most an entropy can be; each term is added at most 20 times in `dtype`
//   the rest         sums of n positive terms in f64, off by at most n u of themselves (Higham
//                    2002, section 4.2): of V terms in the reference, and of the positions; the
//                    logarithm, a difference, the mean
double loss_rounding(double loss, int64_t vocab, int64_t positions, DType dtype);

// What rounding may do to a loss whose logits are off by as much as `logits` allows: |log sum
// exp(a) - log sum exp(b)| <= max |a - b|, and the target's logit moves as far, so twice the
// largest error of a logit; the mean over positions is no further off than its worst term.
Bound loss_bound(const Bound& logits, double loss, int64_t vocab, int64_t positions, DType dtype);

// error relative to value, and absolute.
Bound bound_of_number(double error, double value);

using TellProgress = std::function<void(const std::string& what)>;

// One thing that is compared.
struct Expected {
  Shape shape;
  std::vector<double> values;
  std::map<DType, Bound> bounds = {};  // one dtype at least
};

class Truth {
 public:
  void add(const std::string& name, const Shape& shape, std::vector<double> values);
  void set_bound(const std::string& name, DType dtype, const Bound& bound);

  // Null where the reference has no such thing.
  const Expected* find(const std::string& name) const;
  // REQUIRES: there is such a thing.
  const std::vector<double>& values(const std::string& name) const { return all_.at(name).values; }
  // Of a dtype that was not drawn for: another's, times the ratio of their roundoffs.
  Bound bound(const std::string& name, DType dtype) const;
  const std::vector<std::string>& names() const { return names_; }  // in the order of add()

 private:
  std::map<std::string, Expected> all_;
  std::vector<std::string> names_;
};

// f(Rough<dtype>()), for what a dtype that is known when it runs draws with.
template <class F>
auto with_rough(DType dtype, const F& f) {
  if (dtype == DType::bf16) return f(Rough<DType::bf16>());
  return dtype == DType::f32 ? f(Rough<DType::f32>()) : f(Rough<DType::f64>());
}

// In what dtypes runs are held against the truth, and on how many ranks at most they share out a
// layer, which in bf16 rounds each rank's term of a sum.
struct Drawn {
  std::vector<DType> dtypes;
  int64_t ranks = 1;
};

// What the reference is run on.
struct ReferenceInput {
  // REQUIRES: the source outlives it.
  ReferenceInput(const WeightSource& source, const TrainingBatch& batch);

  const Architecture& architecture;
  Weights weights;
  TokenBatch batch;
};
TokenBatch as_reference(const TrainingBatch& batch);

// The bounds of all that the truth has, from draws in each dtype. run(reference, errors) computes
// one with Reference<Rough>, and adds its errors by their names; those of logits, which bound the
// truth's loss if it has one, as "head/logits".
template <class Run>
void draw_bounds(const ReferenceInput& input, const Drawn& drawn, const TellProgress& progress,
                 Truth& truth, const Run& run) {
  const int64_t positions = input.batch.B * input.batch.T;
  const int draws = draws_for(input.architecture, positions);
  for (const DType dtype : drawn.dtypes) {
    DrawnErrors errors(dtype);
    for (int i = 0; i < draws; ++i) {
      progress(drawing(dtype, i, draws));
      with_rough(dtype, [&](auto rough) {
        run(Reference<decltype(rough)>(input.architecture, rough_weights(input.weights, dtype, i),
                                       drawn.ranks),
            errors);
      });
    }
    for (const std::string& name : truth.names())
      if (errors.has(name)) truth.set_bound(name, dtype, errors.bound(name));
    if (truth.find("loss"))
      truth.set_bound("loss", dtype,
                      loss_bound(errors.bound("head/logits"), truth.values("loss")[0],
                                 input.architecture.vocabulary, positions, dtype));
  }
}

// A forward pass: the reference's sites, and with targets "loss". Runs the reference, and draws of
// it for the bounds of each dtype. REQUIRES: at least one dtype.
Truth forward_truth(const WeightSource& source, const TrainingBatch& batch, const Drawn& drawn,
                    const TellProgress& progress);

}  // namespace tplab
