// A norm over the whole width, of each position on the stream.
#pragma once

#include <utility>

#include "model/layers/loader.h"
#include "sim/ops.h"

namespace tplab {

// (x - mean) / sqrt(var + eps) * weight + bias.   No communication.
//   source: Ba et al. 2016
template <class Residual>
class Norm {
  using S = Stream<Residual>;

 public:
  Norm(Loader& loader, const NormSpec& spec, Place at)
      : weight_(loader.load_small<Residual>(weight_of(Role::norm, at))),
        bias_(loader.load_small<Residual>(bias_of(Role::norm, at))),
        eps_(spec.eps) {}

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
