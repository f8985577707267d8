// expect: activation, gated, soft_cap: not linear, so that of a sum is not the sum of those
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Tensor<Invariant> f(const Tensor<Varying>& h, const Tensor<Varying>& gate_and_up) {
#ifdef REPAIRED
  return gated({}, leave(matmul(h, gate_and_up)));
#else
  return leave(gated({}, matmul(h, gate_and_up)));
#endif
}
