// expect: linear: the product is a Partial sum, and a bias inside it would be added once
// The same bug with the bias fused into the product.
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Tensor<Invariant> f(const Tensor<Varying>& h, const Tensor<Varying>& w,
                    const Tensor<Invariant>& b) {
#ifdef REPAIRED
  return add(leave(matmul(h, w)), b);
#else
  return leave(linear(h, w, b));
#endif
}
