#include "model/mlp.h"

#include "sim/error.h"
#include "sim/ops.h"

namespace tplab {

namespace {

Gelu gelu_of(ActivationKind kind) {
  if (kind == ActivationKind::gelu) return Gelu::erf;
  if (kind == ActivationKind::gelu_tanh) return Gelu::tanh;
  throw Error(ErrorKind::unavailable, "an activation that is not computed yet",
              "use a model whose activation is GELU");
}

}  // namespace

template <class Residual>
Mlp<Residual>::Mlp(Loader& loader, Place at)
    : up_(loader.load<Varying>(weight_of(Role::up, at))),
      up_bias_(loader.load<Varying>(bias_of(Role::up, at))),
      down_(loader.load<Varying>(weight_of(Role::down, at))),
      down_bias_(loader.load_small<Residual>(bias_of(Role::down, at))),
      gelu_(gelu_of(first_mlp(loader.plan().architecture()).activation)) {}

template <class Residual>
Tensor<Residual> Mlp<Residual>::forward(Rank& rank, const Tensor<Residual>& x, const Pass& pass,
                                        Saved* saved) const {
  auto scope = rank.at("mlp");
  Tensor<Replicated> in = S::read(x);                                      // [B, T, C]
  Tensor<Varying> h = watch("fc", linear(in, up_.value, up_bias_.value));  // [B, T, F/tp]
  if (saved) *saved = {{x, in, pass.regather}, h, {}};
  Tensor<Varying> a = watch("gelu", gelu(gelu_, std::move(h)));  // [B, T, F/tp]
  if (saved) saved->a = a;
  Tensor<Residual> sum = S::write(matmul(a, down_.value));  // [B, T, C]
  return watch("proj", pass.drop(add(std::move(sum), S::param(down_bias_.value))));
}

template <class Residual>
Grad<Residual> Mlp<Residual>::backward(Rank& rank, const Grad<Residual>& dy, const Pass& pass,
                                       const Saved& saved) const {
  auto scope = rank.at("mlp");
  const Grad<Residual> dout = pass.drop(dy);  // [B, T, C]
  bias_backward(dout, down_bias_.grad);
  const Grad<Partial> dsum = S::write_backward(dout);                          // [B, T, C]
  Grad<Varying> da = matmul_backward(dsum, saved.a, down_.value, down_.grad);  // [B, T, F/tp]
  const Grad<Varying> dh = gelu_backward(gelu_, std::move(da), saved.h);       // [B, T, F/tp]
  return S::read_backward(                                                     // [B, T, C]
      linear_backward(dh, saved.input.read(), up_.value, up_.grad, up_bias_.grad));
}

template class Mlp<Invariant>;
template class Mlp<VaryingT>;

}  // namespace tplab
