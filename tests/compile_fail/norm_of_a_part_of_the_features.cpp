// expect: norm: this rank holds a part of the features
// The mean over a shard is not the mean over the width (gpt-neox#1424).
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Tensor<Invariant> f(const Tensor<Varying>& x, const Tensor<Invariant>& w) {
#ifdef REPAIRED
  return layer_norm(leave(assume_placement<Partial>(x)), w, {}, 1e-5);
#else
  return assume_placement<Invariant>(layer_norm(x, enter(w), {}, 1e-5));
#endif
}
