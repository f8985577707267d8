// A layer norm over the whole width, the same on every rank.
#pragma once

#include <string>

#include "model/loader.h"
#include "sim/ops.h"

namespace tplab {

// (x - mean) / sqrt(var + eps) * weight + bias.   No communication.
class LayerNorm {
 public:
  LayerNorm(Loader& loader, const std::string& name)
      : weight_(loader.load<Invariant>(name + ".weight")),
        bias_(loader.load<Invariant>(name + ".bias")),
        eps_(loader.plan().config().layer_norm_eps) {}

  // x: [B, T, C]   weight, bias: [C]   ->   [B, T, C]
  Tensor<Invariant> forward(const Tensor<Invariant>& x) const {
    return layer_norm(x, weight_, bias_, eps_);
  }

 private:
  Tensor<Invariant> weight_, bias_;
  double eps_;
};

}  // namespace tplab
