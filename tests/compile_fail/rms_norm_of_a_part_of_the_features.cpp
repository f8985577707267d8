// expect: norm: this rank holds a part of the features
// The mean square over a shard is not that over the width (gpt-neox#1424).
#include "sim/ops.h"

using namespace tplab;

#ifdef REPAIRED
using Features = Invariant;
#else
using Features = Varying;
#endif

Tensor<Features> f(const Tensor<Features>& x, const Tensor<Features>& w) {
  return rms_norm(x, w, 1e-6);
}
