// expect: could not convert .* from .*Partial.* to .*Invariant
// expect: no viable conversion .*MatmulRule<Varying, Varying>.* to .*Invariant
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Tensor<Invariant> f(const Tensor<Varying>& h, const Tensor<Varying>& w) {
#ifdef REPAIRED
  return leave(matmul(h, w));
#else
  return matmul(h, w);
#endif
}
