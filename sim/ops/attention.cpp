#include "sim/ops/attention.h"

#include "sim/ops/expect.h"
#include "sim/ops/list.h"

namespace tplab {

namespace op {

namespace {

// Of two products of every query with the keys that it sees, past + 1 .. past + T of them:
//   2 · 2 B H D (T past + T (T + 1) / 2)
double seen_flops(int64_t B, int64_t H, int64_t D, int64_t past, int64_t T) {
  const double pairs = static_cast<double>(T * past) + static_cast<double>(T * (T + 1)) / 2;
  return 4 * static_cast<double>(B * H * D) * pairs;
}

}  // namespace

Cost CachedAttention::cost() const {
  const Shape& s = keys.shape();
  const int64_t T = qkv.shape()[1];
  const double position = bytes_of(Arrays{&keys, &values}) / static_cast<double>(s[2]);
  return {seen_flops(s[0], s[1], s[3], past, T),  // new positions are written, then read
          bytes_of(Arrays{&qkv, &y}) + position * static_cast<double>(past + 2 * T)};
}
Cost CausalAttention::cost() const {
  const Shape& s = y.shape();
  return {seen_flops(s[0], 1, s[2], 0, s[1]), bytes_of(reads()) + bytes_of(writes())};
}
Cost CausalAttentionBackward::cost() const {
  const Shape& s = y.shape();
  return {2 * seen_flops(s[0], 1, s[2], 0, s[1]), bytes_of(reads()) + bytes_of(writes())};
}

}  // namespace op

namespace untyped {

Array cached_attention(Rank& rank, const Array& qkv, int64_t heads_local, int64_t past, Array& keys,
                       Array& values) {
  const Shape& s = keys.shape();
  expect(qkv.shape().dims() == 3 && s.dims() == 4 && s == values.shape() &&
             s[0] == qkv.shape()[0] && s[1] == heads_local &&
             qkv.shape()[2] == 3 * heads_local * s[3] && past + qkv.shape()[1] <= s[2] &&
             qkv.dtype() == keys.dtype() && qkv.dtype() == values.dtype(),
         rank, "cached_attention", "qkv [B, T, 3 H D] and keys, values [B, H, S >= past + T, D]",
         {&qkv, &keys, &values});
  Array y = rank.device().allocate(qkv.dtype(),
                                   Shape{qkv.shape()[0], qkv.shape()[1], heads_local * s[3]});
  rank.device().run(op::CachedAttention{qkv, past, keys, values, y});
  return y;
}

Attended causal_attention(Rank& rank, const Array& qkv, int64_t heads_local,
                          const std::optional<DropoutMask>& mask) {
  expect(qkv.shape().dims() == 3 && qkv.shape()[2] % (3 * heads_local) == 0, rank,
         "causal_attention", "qkv [B, T, 3 H D]", {&qkv});
  const int64_t B = qkv.shape()[0], T = qkv.shape()[1], width = qkv.shape()[2] / 3;
  Attended done{rank.device().allocate(qkv.dtype(), Shape{B, T, width}),
                rank.device().allocate(accumulator(qkv.dtype()), Shape{B, heads_local, T})};
  rank.device().run(op::CausalAttention{qkv, heads_local, mask, done.y, done.log_sums});
  return done;
}

Array causal_attention_backward(Rank& rank, const Array& dy, const Array& qkv, const Attended& done,
                                int64_t heads_local, const std::optional<DropoutMask>& mask) {
  expect(dy.shape() == done.y.shape() && dy.dtype() == qkv.dtype(), rank,
         "causal_attention_backward", "dy like y [B, T, H D]", {&dy, &done.y});
  Array dqkv = rank.device().allocate(qkv.dtype(), qkv.shape());
  rank.device().run(
      op::CausalAttentionBackward{qkv, heads_local, mask, done.y, done.log_sums, dy, dqkv});
  return dqkv;
}

}  // namespace untyped

}  // namespace tplab
