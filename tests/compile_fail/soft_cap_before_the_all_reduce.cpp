// expect: activation, gated, soft_cap: not linear, so that of a sum is not the sum of those
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Tensor<Invariant> f(const Tensor<Varying>& h, const Tensor<Varying>& w) {
#ifdef REPAIRED
  return soft_cap(30, leave(matmul(h, w)));
#else
  return leave(soft_cap(30, matmul(h, w)));
#endif
}
