// expect: attention: this rank holds its own positions only
// Queries would see no keys of other ranks.
#include "sim/ops.h"

using namespace tplab;

#ifdef REPAIRED
using Positions = Varying;  // of whole sequences, this rank's heads
#else
using Positions = VaryingT;
#endif

Tensor<Positions> f(const Tensor<Positions>& qkv) {
  return causal_attention({.heads = 12, .kv_heads = 12}, qkv).y;
}
