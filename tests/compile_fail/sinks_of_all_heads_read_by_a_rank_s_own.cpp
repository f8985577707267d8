// expect: attention: sinks are split as the heads are
// Every rank would read the first heads' (flashinfer#1606).
#include "sim/ops.h"

using namespace tplab;

#ifdef REPAIRED
using Heads = Varying;
#else
using Heads = Invariant;
#endif

Tensor<Varying> f(const Tensor<Varying>& qkv, const Tensor<Heads>& sinks) {
  return causal_attention({.heads = 12, .kv_heads = 12}, qkv, sinks).y;
}
