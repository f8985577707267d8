#include "model/mlp.h"

#include "sim/collectives.h"
#include "sim/ops.h"

namespace tplab {

Mlp::Mlp(Loader& loader, const std::string& name)
    : up_(loader.load<Varying>(name + ".c_fc.weight")),
      up_bias_(loader.load<Varying>(name + ".c_fc.bias")),
      down_(loader.load<Varying>(name + ".c_proj.weight")),
      down_bias_(loader.load<Invariant>(name + ".c_proj.bias")),
      gelu_(loader.plan().config().gelu) {}

Tensor<Invariant> Mlp::forward(Rank& rank, const Tensor<Invariant>& x) const {
  auto scope = rank.at("mlp");
  Tensor<Varying> h = watch("fc", linear(enter(x), up_, up_bias_));  // [B, T, F/tp]
  Tensor<Varying> a = watch("gelu", gelu(gelu_, std::move(h)));      // [B, T, F/tp]
  return watch("proj", add(leave(matmul(a, down_)), down_bias_));    // [B, T, C]
}

}  // namespace tplab
