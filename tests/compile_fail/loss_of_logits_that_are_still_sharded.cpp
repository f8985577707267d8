// expect: cross_entropy: each rank holds a part of the vocabulary; gather\(\) the logits
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

double f(const Tensor<Varying>& logits, std::span<const int32_t> targets) {
#ifdef REPAIRED
  return cross_entropy(gather(logits), targets);
#else
  return cross_entropy(logits, targets);
#endif
}
