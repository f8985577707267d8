// expect: backward: the gradient's placement is not the dual of the result's
// Under SP the stream's gradient is this rank's positions; row-parallel weights need all of them.
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Grad<Varying> f(const Grad<VaryingT>& dy, const Tensor<Varying>& x, const Tensor<Varying>& w,
                const Grad<Varying>& dw) {
#ifdef REPAIRED
  return matmul_backward(scatter_sum_backward(dy), x, w, dw);
#else
  return matmul_backward(dy, x, w, dw);
#endif
}
