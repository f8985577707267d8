#include "model/layers/mlp.h"

#include "sim/ops.h"

namespace tplab {

Mlp::Mlp(Loader& loader, const MlpSpec& spec, Place at)
    : up_(loader.load<Varying>(weight_of(Role::up, at))),
      up_bias_(loader.load<Varying>(bias_of(Role::up, at))),
      down_(loader.load<Varying>(weight_of(Role::down, at))),
      act_(spec.activation) {}

Tensor<Partial> Mlp::forward(const Tensor<Replicated>& x, const Pass&, Saved* saved) const {
  Tensor<Varying> h = show("fc", linear(x, up_.value, up_bias_.value));  // [B, T, F/tp]
  if (saved) saved->h = h;
  Tensor<Varying> a = show("gelu", activation(act_, std::move(h)));  // [B, T, F/tp]
  if (saved) saved->a = a;
  return matmul(a, down_.value);  // [B, T, C]
}

Grad<Replicated> Mlp::backward(const Grad<Partial>& dy, const Tensor<Replicated>& x, const Pass&,
                               const Saved& saved) const {
  Grad<Varying> da = matmul_backward(dy, saved.a, down_.value, down_.grad);    // [B, T, F/tp]
  const Grad<Varying> dh = activation_backward(act_, std::move(da), saved.h);  // [B, T, F/tp]
  return linear_backward(dh, x, up_.value, up_.grad, up_bias_.grad);           // [B, T, C]
}

}  // namespace tplab
