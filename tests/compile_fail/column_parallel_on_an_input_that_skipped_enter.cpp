// expect: matmul: sharded weights read an Invariant activation: its gradient would be one term
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Tensor<Varying> f(const Tensor<Invariant>& x, const Tensor<Varying>& w) {
#ifdef REPAIRED
  return matmul(enter(x), w);
#else
  return matmul(x, w);
#endif
}
