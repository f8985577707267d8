// expect: activation, gated, soft_cap: not linear, so that of a sum is not the sum of those
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Tensor<Invariant> f(const Tensor<Varying>& h, const Tensor<Varying>& w) {
#ifdef REPAIRED
  return activation(ActivationKind::gelu, leave(matmul(h, w)));
#else
  return leave(activation(ActivationKind::gelu, matmul(h, w)));
#endif
}
