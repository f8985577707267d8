// expect: matmul: the activation holds this rank's positions only
// Under sequence parallelism column-parallel weights need the whole sequence.
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Tensor<Varying> f(const Tensor<VaryingT>& x, const Tensor<Varying>& w) {
#ifdef REPAIRED
  return matmul(gather(x), w);
#else
  return matmul(x, w);
#endif
}
