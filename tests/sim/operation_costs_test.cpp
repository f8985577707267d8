// What an operation says it costs, against counts by hand. No numbers are computed: of arrays of
// the meta device.
#include <catch2/catch.hpp>

#include "sim/meta/meta_device.h"
#include "sim/ops/list.h"

namespace tplab {
namespace {

// B sequences of T positions; a [K -> N] product; H heads of D over S cached positions.
constexpr int64_t B = 2, T = 5, K = 7, N = 11, H = 3, D = 4, S = 16;
constexpr double kRows = B * T;

struct Arrays {
  std::unique_ptr<Device> device = make_meta_device(nullptr);
  Array of(const Shape& shape, DType dtype = DType::f32) const {
    return device->allocate(dtype, shape);
  }
};

}  // namespace

TEST_CASE("cost: a product multiplies and adds once a weight and row, forward and twice backward") {
  const Arrays a;
  const Array x = a.of({B, T, K}), w = a.of({N, K}), b = a.of({N}), y = a.of({B, T, N});
  const double flops = 2 * kRows * K * N;
  const Cost linear = op::cost_of(op::Linear{x, w, b, y});
  CHECK(linear.flops == flops);
  CHECK(linear.bytes == 4 * (kRows * K + N * K + N + kRows * N));
  CHECK(op::cost_of(op::Linear{x, w, {}, y}).bytes == linear.bytes - 4 * N);

  const Cost input = op::cost_of(op::LinearBackwardInput{y, w, x});
  CHECK(input.flops == flops);
  CHECK(input.bytes == linear.bytes - 4 * N);
  const Cost weight = op::cost_of(op::LinearBackwardWeight{y, x, w});
  CHECK(weight.flops == flops);
  CHECK(weight.bytes == linear.bytes - 4 * N + 4 * N * K);  // it adds: reads and writes
  CHECK(op::cost_of(op::SumRows{y, b}).bytes == 4 * (kRows * N + 2 * N));
}

TEST_CASE("cost: attention is two products over the positions that are seen, four backward") {
  const Arrays a;
  const Array qkv = a.of({B, T, 3 * H * D}), y = a.of({B, T, H * D}), stats = a.of({B, H, T, 2});
  const AttentionForm form{.heads = H, .kv_heads = H, .scale = 0.5};
  double pairs = 0;
  for (int64_t t = 0; t < T; ++t) pairs += static_cast<double>(t + 1);
  const Cost forward = op::cost_of(op::CausalAttention{form, qkv, {}, y, stats});
  CHECK(forward.flops == 2 * 2 * B * H * D * pairs);
  CHECK(forward.bytes == 4 * (kRows * 4 * H * D + kRows * 2 * H));
  const Cost backward =
      op::cost_of(op::CausalAttentionBackward{form, qkv, {}, y, stats, y, qkv, {}});
  CHECK(backward.flops == 2 * forward.flops);
  CHECK(backward.bytes == 4 * (kRows * 8 * H * D + kRows * 2 * H));

  const Array filled = a.of({B}, DType::i32), keys = a.of({B, H, S, D}),
              values = a.of({B, H, S, D});
  for (const int64_t past : {0, 6}) {
    const Cost cached =
        op::cost_of(op::CachedAttention{form, qkv, {}, {filled, past}, keys, values, y});
    CHECK(cached.flops == 2 * 2 * B * H * D * (pairs + static_cast<double>(T * past)));
    // The new positions are written, and then read with the others: not the whole of S.
    const double cache = 2 * B * H * D * static_cast<double>(past + T + T);
    CHECK(cached.bytes == 4 * (kRows * 4 * H * D + cache + B));
  }
}

TEST_CASE("cost: a window leaves out what it hides, and heads that share keys read them once") {
  const Arrays a;
  const AttentionForm form{.heads = 4, .kv_heads = 2, .scale = 0.5, .window = 3};
  const Array qkv = a.of({B, T, 8 * D}), y = a.of({B, T, 4 * D}), stats = a.of({B, 4, T, 2});
  const Array sinks = a.of({4}), dsinks = a.of({4}), filled = a.of({B}, DType::i32);
  constexpr double kPairs = 1 + 2 + 3 + 3 + 3;  // of 5 queries
  const Cost forward = op::cost_of(op::CausalAttention{form, qkv, sinks, y, stats});
  CHECK(forward.flops == 2 * 2 * B * 4 * D * kPairs);
  CHECK(forward.bytes == 4 * (kRows * 12 * D + 4 + kRows * 8));
  const Cost backward =
      op::cost_of(op::CausalAttentionBackward{form, qkv, sinks, y, stats, y, qkv, dsinks});
  CHECK(backward.flops == 2 * forward.flops);
  CHECK(backward.bytes == 4 * (kRows * 24 * D + 3 * 4 + kRows * 8));

  const Array keys = a.of({B, 2, S, D}), values = a.of({B, 2, S, D});
  const auto cached = [&](int64_t past) {
    return op::cost_of(op::CachedAttention{form, qkv, {}, {filled, past}, keys, values, y});
  };
  CHECK(cached(0).flops == 2 * 2 * B * 4 * D * kPairs);
  CHECK(cached(1).flops == 2 * 2 * B * 4 * D * (2 + 3 * 4.0));
  CHECK(cached(9).flops == 2 * 2 * B * 4 * D * (3 * 5.0));
  // Written T; read what the first query sees and the T - 1 positions behind.
  CHECK(cached(9).bytes == 4 * (kRows * 12 * D + B + 2 * B * 2 * D * (3.0 + T - 1 + T)));
  CHECK(cached(0).bytes == 4 * (kRows * 12 * D + B + 2 * B * 2 * D * (5.0 + T)));
}

TEST_CASE("cost: rotary positions read and write what they turn, or all where it is a copy") {
  const Arrays a;
  const Array x = a.of({B, T, 10 * D}), y = a.of({B, T, 10 * D}), table = a.of({S, 2});
  const Cost in_place = op::cost_of(op::Rotary{x, table, 7, D, false, {}, x});
  CHECK(in_place.flops == 0);
  CHECK(in_place.bytes == 4 * (2 * kRows * 7 * 2 + T * 2));
  CHECK(op::cost_of(op::Rotary{x, table, 7, D, false, {}, y}).bytes ==
        4 * (2 * kRows * 10 * D + T * 2));
}

TEST_CASE("cost: of a table only the rows that are asked for") {
  const Arrays a;
  const Array ids = a.of({B, T}, DType::i32), table = a.of({1000, K}), y = a.of({B, T, K});
  CHECK(op::cost_of(op::Embedding{ids, table, 0, y}).bytes == 4 * kRows * (1 + 2 * K));
  CHECK(op::cost_of(op::EmbeddingBackward{ids, y, 0, table}).bytes == 4 * kRows * (1 + 3 * K));
  const Array logits = a.of({B, T, 1000}), out = a.of({B, T});
  CHECK(op::cost_of(op::Pick{logits, 900, ids, 0, out}).bytes == 4 * kRows * 3);
  CHECK(op::cost_of(op::RowMax{logits, 900, out}).bytes == 4 * kRows * 1001);
  const Array last = a.of({B, 1, K}), shards = a.of({1, B * T, K}), wide = a.of({B, T, 3 * K});
  CHECK(op::cost_of(op::LastPosition{y, last}).bytes == 4 * 2 * B * K);
  CHECK(op::cost_of(op::CutShards{wide, 1, shards}).bytes == 4 * 2 * kRows * K);
}

TEST_CASE("cost: what acts on one number at a time is bytes") {
  const Arrays a;
  const Array x = a.of({B, T, K}, DType::f64), y = a.of({B, T, K}, DType::f64);
  const Cost gelu = op::cost_of(op::Activation{ActivationKind::gelu, x, y});
  CHECK(gelu.flops == 0);
  CHECK(gelu.bytes == 8 * 2 * kRows * K);
  const Array scale = a.of({1}, DType::f64);
  const Cost adamw = op::cost_of(op::AdamW{{}, scale, x, x, x, x, {}});
  CHECK(adamw.flops == 0);
  CHECK(adamw.bytes == 8 * (1 + 7 * kRows * K));  // three of four are written too
}

}  // namespace tplab
