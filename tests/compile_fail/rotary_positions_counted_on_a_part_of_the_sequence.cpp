// expect: rotary: this rank holds its own positions only
// Each rank would begin at position 0.
#include "sim/ops.h"

using namespace tplab;

#ifdef REPAIRED
using Positions = Varying;  // of whole sequences, this rank's heads
#else
using Positions = VaryingT;
#endif

Tensor<Positions> f(const Tensor<Positions>& qkv, const Tensor<Invariant>& angles) {
  return rotary(qkv, angles, 12, 64);
}
