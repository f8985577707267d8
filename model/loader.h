// Copies one rank's part of each parameter from where weights come from to its device.
#pragma once

#include <string>

#include "model/shard_plan.h"
#include "model/weights.h"
#include "sim/tensor.h"

namespace tplab {

class Loader {
 public:
  Loader(Rank& rank, const WeightSource& source, const ShardPlan& plan, DType dtype)
      : rank_(rank), source_(source), plan_(plan), dtype_(dtype) {}

  // The parameter, placed as the layer says: Varying if the plan splits it, Invariant if every
  // rank holds the whole. A bias that the model does not have comes back absent.
  // Throws Error(run) if the plan places it otherwise.
  template <class P>
  Tensor<P> load(const std::string& parameter) {
    return assume_placement<P>(rank_, read(parameter, same<P, Varying>));
  }

  Rank& rank() { return rank_; }
  const ShardPlan& plan() const { return plan_; }
  DType dtype() const { return dtype_; }

 private:
  Array read(const std::string& parameter, bool sharded);

  Rank& rank_;
  const WeightSource& source_;
  const ShardPlan& plan_;
  DType dtype_;
};

}  // namespace tplab
