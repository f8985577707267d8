// expect: no matching function for call to .rms_norm_backward
// expect: could not convert .* from .*Invariant.* to .*Partial
// expect: invalid initialization of reference .*Partial
// Each rank saw its own positions only, so this is one term of the sum (Megatron-LM#443).
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

#ifdef REPAIRED
using WeightGradient = Tensor<Partial>;
#else
using WeightGradient = Tensor<Invariant>;
#endif

Grad<VaryingT> f(const Grad<VaryingT>& dy, const Tensor<VaryingT>& x, const Tensor<Invariant>& w,
                 const WeightGradient& dw) {
  return rms_norm_backward(dy, x, enter(w), 1e-6, false, dw);
}
