// expect: cross_entropy: each rank holds a part of the vocabulary; gather\(\) the logits
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Tensor<Invariant> f(const Tensor<Varying>& logits, const Tensor<Invariant>& targets) {
#ifdef REPAIRED
  return cross_entropy(gather(logits), targets);
#else
  return cross_entropy(logits, targets);
#endif
}
