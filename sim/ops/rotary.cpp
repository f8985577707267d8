#include "sim/ops/rotary.h"

#include "sim/ops/expect.h"
#include "sim/ops/list.h"

namespace tplab {

namespace op {

Cost Rotary::cost() const {
  const auto rows = static_cast<double>(x.shape().rows());
  const int64_t R = table.shape()[1];
  const double turned = rows * static_cast<double>(heads * R * size_bytes(x.dtype()));
  const double moved = x.data() == y.data() ? 2 * turned : bytes_of(Arrays{&x, &y});
  return {0, moved + bytes_of(Arrays{&past.filled}) +
                 static_cast<double>(x.shape()[1] * R * size_bytes(table.dtype()))};
}

}  // namespace op

namespace untyped {

Array rotary(Rank& rank, Array&& x, const Array& table, int64_t heads, int64_t head_size,
             bool inverse, const op::Past& past) {
  const Shape& s = x.shape();
  expect(s.dims() == 3 && heads * head_size <= s[2] && table.shape().dims() == 2 &&
             table.dtype() == accumulator(x.dtype()) && table.shape()[1] % 2 == 0 &&
             table.shape()[1] <= head_size && op::past_of(past, s[0]) &&
             past.at_most + s[1] <= table.shape()[0],
         rank, "rotary", "x [B, T, >= heads D] and a table [S >= past + T, R <= D] of an even R",
         {&x, &table});
  Array y = like_or_same(rank, x);
  rank.device().run(op::Rotary{x, table, heads, head_size, inverse, past, y});
  return y;
}

}  // namespace untyped

}  // namespace tplab
