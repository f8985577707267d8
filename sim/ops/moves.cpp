#include "sim/ops/moves.h"

#include "sim/ops/expect.h"
#include "sim/ops/list.h"

namespace tplab::untyped {

Array last_position(Rank& rank, const Array& x) {
  expect(x.shape().dims() == 3, rank, "last_position", "x [B, T, C]", {&x});
  if (x.shape()[1] == 1) return x;
  Array y = rank.device().allocate(x.dtype(), Shape{x.shape()[0], 1, x.shape()[2]});
  rank.device().run(op::LastPosition{x, y});
  return y;
}

}  // namespace tplab::untyped
