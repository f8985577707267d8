// expect: could not convert .* from .*initializer list.* to .*Gradients
// expect: no viable conversion .*Dual<tplab::Replicated>.* to .*Invariant
// Under SP the norms' gradients are terms of a sum until param_backward (Megatron-LM#443).
#include "model/layers/loader.h"

using namespace tplab;

Gradients f(const Tensor<Varying>& split, const Grad<Stream<VaryingT>::Param>& small) {
#ifdef REPAIRED
  return {split, Stream<VaryingT>::param_backward(small)};
#else
  return {split, small};
#endif
}
