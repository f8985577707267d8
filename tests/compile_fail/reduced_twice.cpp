// expect: could not convert .* from .*Invariant.* to .*Partial
// expect: no matching function for call to 'leave'
// A second all-reduce would multiply by tp.
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Tensor<Invariant> f(const Tensor<Varying>& h, const Tensor<Varying>& w) {
#ifdef REPAIRED
  return leave(matmul(h, w));
#else
  return leave(leave(matmul(h, w)));
#endif
}
