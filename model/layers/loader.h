// The parameters of one rank: their values in one flat list and, for training, their gradients in
// another.
#pragma once

#include <utility>

#include "model/flat_layout.h"
#include "model/layers/stream.h"
#include "model/weights.h"
#include "sim/tensor.h"

namespace tplab {

// A parameter as a layer holds it. P: where it lives; Use: how the layer reads it, which decides
// where its gradient lives.
template <class P, class Use = P>
struct Parameter {
  Tensor<P> value;
  Grad<Use> grad;  // added to by the backward pass; absent in a model that only generates
};

// A norm's weight or a row-parallel bias: under SP each rank's gradient is one term of a sum.
template <class Residual>
using SmallParameter = Parameter<Invariant, typename Stream<Residual>::Param>;

enum class Purpose { generate, train };  // train: with gradients

// The numbers themselves. A handle: copies share them.
struct FlatParameters {
  FlatLayout layout;
  // [layout.count()]; no gradients for Purpose::generate. Gradients are accumulators: f32 of values
  // in bf16.
  Array values, gradients;
};

// What is left of the backward passes once every term is summed over the tensor-parallel ranks.
// Over data-parallel ranks it is still to be summed.
struct Gradients {
  Tensor<Varying> split;    // of the sharded parameters
  Tensor<Invariant> whole;  // of wpe and, after SP's sum, the small ones
};

// Copies one rank's part of each parameter from where weights come from to its device.
class Loader {
 public:
  // Throws as require_computed() does.
  Loader(Rank& rank, const WeightSource& source, const ShardPlan& plan, DType dtype,
         Purpose purpose = Purpose::generate);

  // The parameter, with those joined to it below, placed as the layer says: Varying if the plan
  // splits it, Invariant if every rank holds the whole. A bias that the model does not have comes
  // back absent. Throws Error(run) if the plan places it otherwise.
  template <class P, class Use = P>
  Parameter<P, Use> load(const ParameterId& id) {
    auto [value, grad] = read(id, same<P, Varying>);
    return {assume_placement<P>(rank_, std::move(value)),
            assume_placement<Dual<Use>>(rank_, std::move(grad))};
  }
  template <class Residual>
  SmallParameter<Residual> load_small(const ParameterId& id) {
    return load<Invariant, typename Stream<Residual>::Param>(id);
  }

  Rank& rank() { return rank_; }
  const ShardPlan& plan() const { return plan_; }
  DType dtype() const { return dtype_; }
  const FlatParameters& flat() const { return flat_; }

 private:
  struct ValueAndGradient {
    Array value, gradient;
  };
  ValueAndGradient read(const ParameterId& id, bool sharded);
  void copy(const ParameterRow& row, Array local);

  Rank& rank_;
  const WeightSource& source_;
  const ShardPlan& plan_;
  DType dtype_;
  FlatParameters flat_;
};

}  // namespace tplab
