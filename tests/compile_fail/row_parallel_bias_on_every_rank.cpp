// expect: add: both operands must have the same placement\. Adding an Invariant bias to a Partial
// Each rank's product is one term of the sum; a bias added to each is added tp times.
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Tensor<Invariant> f(const Tensor<Varying>& h, const Tensor<Varying>& w,
                    const Tensor<Invariant>& b) {
#ifdef REPAIRED
  return add(leave(matmul(h, w)), b);
#else
  return leave(add(matmul(h, w), b));
#endif
}
