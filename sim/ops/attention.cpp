#include "sim/ops/attention.h"

#include <algorithm>

#include "sim/ops/expect.h"
#include "sim/ops/list.h"

namespace tplab {

namespace op {

namespace {

// Keys seen by T queries behind `past` positions, all together: past + 1, past + 2 .. of them, or
// the window.
double pairs(int64_t window, int64_t past, int64_t T) {
  const auto up_to = [](int64_t n) {
    return static_cast<double>(n) * static_cast<double>(n + 1) / 2;
  };
  if (window == 0) return up_to(past + T) - up_to(past);
  const int64_t growing = std::clamp<int64_t>(window - past, 0, T);  // queries that see all
  return up_to(past + growing) - up_to(past) +
         static_cast<double>(T - growing) * static_cast<double>(window);
}

// Of two products of every query with the keys that it sees: 2 · 2 D each.
double seen_flops(const AttentionForm& form, const Array& y, int64_t past) {
  const Shape& s = y.shape();  // [B, T, H D]
  return 4 * static_cast<double>(s[0] * s[2]) * pairs(form.window, past, s[1]);
}

}  // namespace

Cost CachedAttention::cost() const {
  const int64_t T = qkv.shape()[1], S = keys.shape()[2];
  int64_t read = past.at_most + T;  // new positions are written, then read
  if (form.window > 0) read = std::min(read, form.window + T - 1);
  const double position = bytes_of(Arrays{&keys, &values}) / static_cast<double>(S);
  return {seen_flops(form, y, past.at_most), bytes_of(Arrays{&qkv, &sinks, &past.filled, &y}) +
                                                 position * static_cast<double>(read + T)};
}
Cost CausalAttention::cost() const {
  return {seen_flops(form, y, 0), bytes_of(reads()) + bytes_of(writes())};
}
Cost CausalAttentionBackward::cost() const {
  return {2 * seen_flops(form, y, 0), bytes_of(reads()) + bytes_of(writes())};
}

}  // namespace op

namespace untyped {

namespace {

// Whether a form, and the arrays that all have, are as the operations want them.
bool fits(const AttentionForm& form, const Array& qkv, const Array& sinks) {
  const bool groups = form.kv_heads > 0 && form.heads > 0 && form.heads % form.kv_heads == 0;
  if (!groups || qkv.shape().dims() != 3 ||
      qkv.shape()[2] % (form.heads + 2 * form.kv_heads) != 0) {
    return false;
  }
  return form.scale >= 0 && form.window >= 0 && form.softcap >= 0 &&
         (!sinks.present() || vector_of(sinks, qkv, form.heads));
}

constexpr std::string_view kQkv = "qkv [B, T, (H + 2 K) D], H a multiple of K, and sinks [H]";

}  // namespace

Array cached_attention(Rank& rank, const AttentionForm& form, const Array& qkv, const Array& sinks,
                       const op::Past& past, const Array& keys, const Array& values) {
  expect(fits(form, qkv, sinks), rank, "cached_attention", kQkv, {&qkv, &sinks});
  const int64_t B = qkv.shape()[0], T = qkv.shape()[1], D = op::head_size(form, qkv);
  const Shape& s = keys.shape();
  expect(s.dims() == 4 && s == values.shape() && s[0] == B && s[1] == form.kv_heads && s[3] == D &&
             op::past_of(past, B) && past.at_most + T <= s[2] && qkv.dtype() == keys.dtype() &&
             qkv.dtype() == values.dtype() && !form.mask,
         rank, "cached_attention",
         "qkv [B, T, (H + 2 K) D] and keys, values [B, K, S >= past + T, D]",
         {&qkv, &keys, &values});
  Array y = rank.device().allocate(qkv.dtype(), Shape{B, T, form.heads * D});
  rank.device().run(op::CachedAttention{form, qkv, sinks, past, keys, values, y});
  return y;
}

Attended causal_attention(Rank& rank, const AttentionForm& form, const Array& qkv,
                          const Array& sinks) {
  expect(fits(form, qkv, sinks), rank, "causal_attention", kQkv, {&qkv, &sinks});
  const int64_t B = qkv.shape()[0], T = qkv.shape()[1], D = op::head_size(form, qkv);
  Attended done{rank.device().allocate(qkv.dtype(), Shape{B, T, form.heads * D}),
                rank.device().allocate(accumulator(qkv.dtype()), Shape{B, form.heads, T, 2})};
  rank.device().run(op::CausalAttention{form, qkv, sinks, done.y, done.stats});
  return done;
}

Array causal_attention_backward(Rank& rank, const AttentionForm& form, const Array& dy,
                                const Array& qkv, const Array& sinks, const Attended& done,
                                const Array& dsinks) {
  expect(fits(form, qkv, sinks), rank, "causal_attention_backward", kQkv, {&qkv, &sinks});
  expect(dy.shape() == done.y.shape() && dy.dtype() == qkv.dtype(), rank,
         "causal_attention_backward", "dy like y [B, T, H D]", {&dy, &done.y});
  expect(dsinks.present() == sinks.present() &&
             (!sinks.present() ||
              (dsinks.shape() == sinks.shape() && dsinks.dtype() == accumulator(sinks.dtype()))),
         rank, "causal_attention_backward", "dsinks like sinks", {&sinks, &dsinks});
  Array dqkv = rank.device().allocate(qkv.dtype(), qkv.shape());
  rank.device().run(
      op::CausalAttentionBackward{form, qkv, sinks, done.y, done.stats, dy, dqkv, dsinks});
  return dqkv;
}

}  // namespace untyped

}  // namespace tplab
