// expect: matmul: a sharded activation needs the matching shard of the weight
#include "sim/collectives.h"
#include "sim/ops.h"

using namespace tplab;

Tensor<Invariant> f(const Tensor<Varying>& h, const Tensor<Invariant>& whole,
                    const Tensor<Varying>& shard) {
#ifdef REPAIRED
  (void)whole;
  return leave(matmul(h, shard));
#else
  (void)shard;
  return leave(matmul(h, whole));
#endif
}
