// expect: ignoring return(ed)? value .*(nodiscard|unused-result)
// leave() returns the sum; what went in still holds one term.
#include "sim/collectives.h"
#include "sim/ops.h"

#pragma GCC diagnostic error "-Wunused-result"
using namespace tplab;

Tensor<Invariant> f(const Tensor<Partial>& sum, const Tensor<Invariant>& x) {
#ifdef REPAIRED
  return add(leave(sum), x);
#else
  leave(sum);
  return x;
#endif
}
