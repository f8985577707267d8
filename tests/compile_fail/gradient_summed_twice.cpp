// expect: could not convert .* from .*Invariant.* to .*Partial
// expect: no matching function for call to .enter_backward
// A second all-reduce would make it tp times too large (tt-metal#31748).
#include "sim/collectives.h"

using namespace tplab;

Grad<Invariant> f(const Grad<Replicated>& dx) {
#ifdef REPAIRED
  return enter_backward(dx);
#else
  return enter_backward(enter_backward(dx));
#endif
}
