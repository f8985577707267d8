// Checks and allocation around the device's operations.
#include "sim/ops.h"

#include <fmt/format.h>

#include "sim/error.h"

namespace tplab::untyped {

namespace {

// Throws unless `ok`, saying which operation met which shapes, and where.
void expect(bool ok, Rank& rank, std::string_view op, std::string_view rule,
            std::initializer_list<const Array*> arrays) {
  if (ok) return;
  std::string met;
  for (const Array* a : arrays) {
    met += fmt::format("{}{} {}", met.empty() ? "" : ", ", name(a->dtype()), a->shape().text());
  }
  throw Error(ErrorKind::run,
              fmt::format("rank {}, {}: {} needs {}, and got {}", rank.index(), rank.site()->path(),
                          op, rule, met),
              "shapes are local to a rank; look at the shard plan (tplab info --tp N)");
}

bool vector_of(const Array& v, const Array& x, int64_t size) {
  return v.dtype() == x.dtype() && v.shape().dims() == 1 && v.count() == size;
}

}  // namespace

Array linear(Rank& rank, const Array& x, const Array& w, const Array& bias) {
  expect(x.dtype() == w.dtype() && w.shape().dims() == 2 && x.shape()[-1] == w.shape()[1], rank,
         "matmul", "x [.., K] and W [N, K] of one dtype", {&x, &w});
  const int64_t n = w.shape()[0];
  if (bias.present()) expect(vector_of(bias, x, n), rank, "linear", "a bias [N]", {&w, &bias});
  Array y = rank.device().allocate(x.dtype(), x.shape().with_last(n));
  rank.device().run(op::Linear{x, w, bias, y});
  return y;
}

Array add(Rank& rank, Array a, Array b) {
  if (!b.present()) return a;
  expect(a.dtype() == b.dtype() && (a.shape() == b.shape() || vector_of(b, a, a.shape()[-1])), rank,
         "add", "equal shapes, or a row", {&a, &b});
  // Into whichever operand nobody else reads.
  if (a.unique()) {
    rank.device().run(op::Add{a, b, a});
    return a;
  }
  if (b.unique() && a.shape() == b.shape()) {
    rank.device().run(op::Add{a, b, b});
    return b;
  }
  Array y = rank.device().allocate(a.dtype(), a.shape());
  rank.device().run(op::Add{a, b, y});
  return y;
}

Array gelu(Rank& rank, Gelu kind, Array x) {
  if (x.unique()) {
    rank.device().run(op::Gelu{kind, x, x});
    return x;
  }
  Array y = rank.device().allocate(x.dtype(), x.shape());
  rank.device().run(op::Gelu{kind, x, y});
  return y;
}

Array layer_norm(Rank& rank, const Array& x, const Array& weight, const Array& bias, double eps) {
  const int64_t c = x.shape()[-1];
  expect(vector_of(weight, x, c), rank, "layer_norm", "x [.., C] and a weight [C]", {&x, &weight});
  if (bias.present()) expect(vector_of(bias, x, c), rank, "layer_norm", "a bias [C]", {&x, &bias});
  Array y = rank.device().allocate(x.dtype(), x.shape());
  rank.device().run(op::LayerNorm{x, weight, bias, eps, y});
  return y;
}

Array embedding(Rank& rank, std::span<const int32_t> ids, Shape ids_shape, const Array& table,
                int64_t first_row) {
  expect(table.shape().dims() == 2 && ids_shape.dims() == 2 &&
             ids_shape.count() == static_cast<int64_t>(ids.size()),
         rank, "embedding", "ids [B, T] and a table [rows, C]", {&table});
  Array y =
      rank.device().allocate(table.dtype(), Shape{ids_shape[0], ids_shape[1], table.shape()[1]});
  rank.device().run(op::Embedding{ids, table, first_row, y});
  return y;
}

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

Array last_position(Rank& rank, const Array& x) {
  expect(x.shape().dims() == 3, rank, "last_position", "x [B, T, C]", {&x});
  if (x.shape()[1] == 1) return x;
  Array y = rank.device().allocate(x.dtype(), Shape{x.shape()[0], 1, x.shape()[2]});
  rank.device().run(op::LastPosition{x, y});
  return y;
}

double cross_entropy(Rank& rank, const Array& logits, std::span<const int32_t> targets) {
  expect(logits.shape().rows() == static_cast<int64_t>(targets.size()), rank, "cross_entropy",
         "a target for each row of logits", {&logits});
  Array out = rank.device().allocate(DType::f64, {1});
  rank.device().run(op::CrossEntropy{logits, targets, out});
  return number_on_host(rank.device(), out);
}

// --- Backward.

Array linear_backward(Rank& rank, const Array& dy, const Array& x, const Array& w, const Array& dw,
                      const Array& db) {
  expect(dy.dtype() == w.dtype() && dy.shape() == x.shape().with_last(w.shape()[0]) &&
             dw.shape() == w.shape() && dw.dtype() == w.dtype(),
         rank, "matmul_backward", "dy [.., N], x [.., K], W and dW [N, K] of one dtype",
         {&dy, &x, &w, &dw});
  if (db.present()) sum_rows(rank, dy, db);
  rank.device().run(op::LinearBackwardWeight{dy, x, dw});
  Array dx = rank.device().allocate(x.dtype(), x.shape());
  rank.device().run(op::LinearBackwardInput{dy, w, dx});
  return dx;
}

void sum_rows(Rank& rank, const Array& dy, const Array& db) {
  expect(vector_of(db, dy, dy.shape()[-1]), rank, "bias_backward", "dy [.., N] and db [N]",
         {&dy, &db});
  rank.device().run(op::SumRows{dy, db});
}

Array gelu_backward(Rank& rank, Gelu kind, const Array& x, Array dy) {
  expect(dy.shape() == x.shape() && dy.dtype() == x.dtype(), rank, "gelu_backward", "dy like x",
         {&dy, &x});
  if (dy.unique()) {
    rank.device().run(op::GeluBackward{kind, x, dy, dy});
    return dy;
  }
  Array dx = rank.device().allocate(x.dtype(), x.shape());
  rank.device().run(op::GeluBackward{kind, x, dy, dx});
  return dx;
}

Array layer_norm_backward(Rank& rank, Array dy, const Array& x, const Array& weight, double eps,
                          const Array& dweight, const Array& dbias) {
  expect(dy.shape() == x.shape() && vector_of(weight, x, x.shape()[-1]) &&
             dweight.shape() == weight.shape(),
         rank, "layer_norm_backward", "dy like x [.., C], weight and dweight [C]",
         {&dy, &x, &weight, &dweight});
  if (dy.unique()) {
    rank.device().run(op::LayerNormBackward{x, weight, eps, dy, dy, dweight, dbias});
    return dy;
  }
  Array dx = rank.device().allocate(x.dtype(), x.shape());
  rank.device().run(op::LayerNormBackward{x, weight, eps, dy, dx, dweight, dbias});
  return dx;
}

void embedding_backward(Rank& rank, std::span<const int32_t> ids, const Array& dy,
                        const Array& dtable, int64_t first_row) {
  expect(dy.shape().rows() == static_cast<int64_t>(ids.size()) &&
             dy.shape()[-1] == dtable.shape()[-1] && dy.dtype() == dtable.dtype(),
         rank, "embedding_backward", "a row of dy for each id, as wide as the table",
         {&dy, &dtable});
  rank.device().run(op::EmbeddingBackward{ids, dy, first_row, dtable});
}

Array dropout(Rank& rank, Array x, const DropoutMask& mask) {
  if (x.unique()) {
    rank.device().run(op::Dropout{x, mask, x});
    return x;
  }
  Array y = rank.device().allocate(x.dtype(), x.shape());
  rank.device().run(op::Dropout{x, mask, y});
  return y;
}

Attended causal_attention(Rank& rank, const Array& qkv, int64_t heads_local,
                          const std::optional<DropoutMask>& mask) {
  expect(qkv.shape().dims() == 3 && qkv.shape()[2] % (3 * heads_local) == 0, rank,
         "causal_attention", "qkv [B, T, 3 H D]", {&qkv});
  const int64_t B = qkv.shape()[0], T = qkv.shape()[1], width = qkv.shape()[2] / 3;
  Attended done{rank.device().allocate(qkv.dtype(), Shape{B, T, width}),
                rank.device().allocate(qkv.dtype(), Shape{B, heads_local, T})};
  rank.device().run(op::CausalAttention{qkv, heads_local, mask, done.y, done.log_sums});
  return done;
}

Array causal_attention_backward(Rank& rank, const Array& dy, const Array& qkv, const Attended& done,
                                int64_t heads_local, const std::optional<DropoutMask>& mask) {
  expect(dy.shape() == done.y.shape() && dy.dtype() == qkv.dtype(), rank, "attention_backward",
         "dy like y [B, T, H D]", {&dy, &done.y});
  Array dqkv = rank.device().allocate(qkv.dtype(), qkv.shape());
  rank.device().run(
      op::CausalAttentionBackward{qkv, heads_local, mask, done.y, done.log_sums, dy, dqkv});
  return dqkv;
}

// x: [B, T, V]   ->   [B, T]
static Array a_number_a_row(Rank& rank, const Array& x) {
  expect(x.shape().dims() == 3, rank, "cross_entropy", "logits [B, T, V]", {&x});
  return rank.device().allocate(x.dtype(), Shape{x.shape()[0], x.shape()[1]});
}

Array row_max(Rank& rank, const Array& x, int64_t cols) {
  Array out = a_number_a_row(rank, x);
  rank.device().run(op::RowMax{x, cols, out});
  return out;
}

Array pick(Rank& rank, const Array& x, int64_t cols, std::span<const int32_t> ids, int64_t first) {
  Array out = a_number_a_row(rank, x);
  expect(out.count() == static_cast<int64_t>(ids.size()), rank, "cross_entropy",
         "a target for each row of logits", {&x});
  rank.device().run(op::Pick{x, cols, ids, first, out});
  return out;
}

Array exp_rows(Rank& rank, const Array& x, int64_t cols, const Array& shift) {
  Array sums = a_number_a_row(rank, x);
  rank.device().run(op::ExpRows{x, cols, shift, sums});
  return sums;
}

}  // namespace tplab::untyped
