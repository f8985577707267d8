// A layer norm over the whole width, of each position on the stream.
#pragma once

#include <string>
#include <utility>

#include "model/parameters.h"
#include "sim/ops.h"

namespace tplab {

// (x - mean) / sqrt(var + eps) * weight + bias.   No communication.
template <class Residual>
class LayerNorm {
  using S = Stream<Residual>;

 public:
  LayerNorm(Loader& loader, const std::string& name)
      : weight_(loader.load_small<Residual>(name + ".weight")),
        bias_(loader.load_small<Residual>(name + ".bias")),
        eps_(loader.plan().config().layer_norm_eps) {}

  // x: [B, T, C]   weight, bias: [C]   ->   [B, T, C]
  Tensor<Residual> forward(const Tensor<Residual>& x) const {
    return layer_norm(x, S::param(weight_.value), S::param(bias_.value), eps_);
  }

  Grad<Residual> backward(Grad<Residual> dy, const Tensor<Residual>& x) const {
    return layer_norm_backward(std::move(dy), x, S::param(weight_.value), eps_, weight_.grad,
                               bias_.grad);
  }

 private:
  SmallParameter<Residual> weight_, bias_;
  double eps_;
};

}  // namespace tplab
