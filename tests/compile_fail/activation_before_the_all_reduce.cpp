// expect: gelu: not linear, so gelu of a sum is not the sum of gelus; all-reduce first
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Tensor<Invariant> f(const Tensor<Varying>& h, const Tensor<Varying>& w) {
#ifdef REPAIRED
  return gelu(Gelu::erf, leave(matmul(h, w)));
#else
  return leave(gelu(Gelu::erf, matmul(h, w)));
#endif
}
