// Puts a tensor, or its gradient, back together from the flat lists of the ranks of a mesh.
#pragma once

#include <vector>

#include "model/flat_layout.h"
#include "sim/array.h"

namespace tplab {

struct Assembled {
  std::vector<double> whole;       // in nanoGPT's layout; NaN where no rank has a number
  bool replicas_identical = true;  // bit for bit, over all ranks that hold the same part
};

class Assembler {
 public:
  Assembler(const ShardPlan& plan, int dp);

  // ranks: their flat lists by global index, in host memory. `tensor` is of plan.tensors(). The
  // numbers are replica 0's.
  Assembled assemble(const NamedTensor& tensor, const std::vector<Array>& ranks) const;

 private:
  void add_row(size_t row, const std::vector<Array>& ranks, Assembled& result) const;

  const ShardPlan& plan_;
  std::vector<FlatLayout> layouts_;  // by tensor-parallel rank
  int dp_;
};

}  // namespace tplab
