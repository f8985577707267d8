// expect: norm: on a sharded stream the weight's gradient is one term of a sum
// Under sequence parallelism each rank sees a part of the positions.
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Tensor<VaryingT> f(const Tensor<VaryingT>& x, const Tensor<Invariant>& w,
                   const Tensor<Invariant>& b) {
#ifdef REPAIRED
  return layer_norm(x, enter(w), enter(b), 1e-5);
#else
  return layer_norm(x, w, b, 1e-5);
#endif
}
