// The forward pass of attention on tensor cores, for bf16; plain_attention.cu has f32 and f64.
//
// A block has kRows queries of one head, a warp 16 kTiles of them. It goes over the keys that they
// see in tiles of kKeys, from the last to the first, while the next tile is on its way: S = q kᵀ,
// then a softmax that is right for the keys seen so far, then y += P v, P being S in registers. So
// no more than a tile of scores exists at any time.
//
// A masked key's p is 0, and 0 times what is not finite is NaN: where a tile has keys that some of
// its queries do not see, such values are zeros while the tensor cores multiply, and who sees one
// gets NaN in the end.
//
// A row's state is m, the largest score so far, and l, the sum of p = exp(a (u - m)); when m grows,
// l and y are multiplied with exp(a (old m - new m)).
// source: Milakov and Gimelshein 2018 (the running softmax); Dao 2023 (FlashAttention-2: the loops,
// the work of a warp, the quotient once at the end)
#include "sim/cuda/attention_tiles.h"
#include "sim/cuda/causal_attention.h"
#include "sim/cuda/cuda_device.h"
#include "sim/cuda/scores.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

constexpr int kForwardThreads = 128, kWarps = kForwardThreads / kWarp;

// For heads of up to kD numbers. Registers set the limits: a lane holds kTiles kD / 2 numbers of y
// and kTiles kKeys / 2 of S, and queries where there is room, of the 255 that it may have.
template <int kD>
struct ForwardTiles {
  static constexpr int kTiles = kD <= 128 ? 2 : 1, kRows = 16 * kTiles * kWarps;
  static constexpr int kKeys = kD <= 64 ? 64 : 32;
  static constexpr bool kQueriesInRegisters = kD <= 64;
  static constexpr int kQueryNumbers = kRows * kD, kKeyNumbers = kKeys * kD;
  static constexpr size_t kSharedBytes = sizeof(bf16) * (kQueryNumbers + 4 * kKeyNumbers);
};

// What a lane knows of one of its rows: of its own columns until `sum_over_row`.
struct RunningSoftmax {
  float largest = -INFINITY, sum = 0;
};

// p of the lane's numbers of one of its rows, a half of a tile, from their scores, and what y so
// far is to be multiplied with.
template <int kCount>
__device__ __forceinline__ float step_softmax(RunningSoftmax& row, float (&s)[kCount][4], int half,
                                              const Scores& scores) {
  float largest = row.largest;
  TPLAB_UNROLL
  for (int n = 0; n < kCount; ++n)
    largest = fmaxf(largest, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
  largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
  largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2));
  const float from = largest == -INFINITY ? 0 : largest;  // nothing seen yet: all p are 0
  const float factor = scores.power(row.largest, from);
  float sum = 0;
  TPLAB_UNROLL
  for (int n = 0; n < kCount; ++n) TPLAB_UNROLL
  for (int e = 2 * half; e < 2 * half + 2; ++e) {
    s[n][e] = scores.power(s[n][e], from);
    sum += s[n][e];
  }
  row.sum = row.sum * factor + sum;
  row.largest = largest;
  return factor;
}

template <int kD, bool kDrops>
__global__ void __launch_bounds__(kForwardThreads, 2) attend_bf16(Attend<bf16> a) {
  using Tiles = ForwardTiles<kD>;
  constexpr int kTiles = Tiles::kTiles, kRows = Tiles::kRows, kKeys = Tiles::kKeys;
  constexpr int kSteps = kD / 16;
  bf16* const queries = dynamic_shared<bf16>();
  bf16* const stages = queries + Tiles::kQueryNumbers;  // of keys, then values; two
  TPLAB_SHARED(bool, has_zeroed, [1]);                  // values that are not finite
  if (threadIdx.x == 0) has_zeroed[0] = false;
  __syncthreads();

  // The blocks with the most keys go first, so that none of them is left at the end.
  const AttentionShape<bf16>& shape = a.shape;
  const int heads = shape.B * shape.H, block = static_cast<int>(blockIdx.x);
  const int row_tiles = (shape.T + kRows - 1) / kRows;
  const int first_row = (row_tiles - 1 - block / heads) * kRows;
  const int b = block % heads / shape.H, h = block % shape.H, kv_head = h / shape.group;
  const int past = shape.past(b), first_query = past + first_row;  // its position
  const int rows = std::min(kRows, shape.T - first_row), end = first_query + rows;
  const int first_tile = shape.first_seen(first_query) / kKeys, last_tile = (end - 1) / kKeys;

  const bf16 *const k = a.k.at(b, kv_head, 0), *const v = a.v.at(b, kv_head, 0);
  const auto load_keys = [&](int tile) {
    bf16* const to = stages + tile % 2 * 2 * Tiles::kKeyNumbers;
    const int key = tile * kKeys, count = end - key;
    load_tile<kKeys, kD, kForwardThreads>(to, k + key * a.k.of_position, a.k.of_position, count,
                                          shape.D);
    load_tile<kKeys, kD, kForwardThreads>(to + Tiles::kKeyNumbers, v + key * a.v.of_position,
                                          a.v.of_position, count, shape.D);
    commit_copies();
  };
  load_tile<kRows, kD, kForwardThreads>(queries, a.q.at(b, h, first_row), a.q.of_position, rows,
                                        shape.D);
  commit_copies();
  load_keys(last_tile);

  const int lane = static_cast<int>(lane_of_thread());
  const int warp_row = static_cast<int>(threadIdx.x / kWarp) * 16 * kTiles;
  const int my_query = first_query + warp_row + lane / 4;  // of m = 0, half 0
  const Scores scores(shape.scale, shape.softcap);
  uint32_t q[Tiles::kQueriesInRegisters ? kSteps : 1][kTiles][4];
  const auto load_queries = [&](uint32_t(&to)[kTiles][4], int step) {
    TPLAB_UNROLL
    for (int m = 0; m < kTiles; ++m) load_a<kRows>(to[m], queries, warp_row + 16 * m, 16 * step);
  };
  if constexpr (Tiles::kQueriesInRegisters) {
    wait_for_copies<1>();
    __syncthreads();
    TPLAB_UNROLL
    for (int step = 0; step < kSteps; ++step) load_queries(q[step], step);
  }
  RunningSoftmax state[kTiles][2];
  float y[kTiles][kD / 8][4];
  set_zero(y);

  for (int tile = last_tile; tile >= first_tile; --tile) {
    const int first_key = tile * kKeys;
    bf16* const keys = stages + tile % 2 * 2 * Tiles::kKeyNumbers;
    bf16* const values = keys + Tiles::kKeyNumbers;
    wait_for_copies<0>();
    if (first_key + kKeys - 1 > first_query || first_key < shape.first_seen(end - 1)) {
      if (zero_unfinite_of_thread<kKeys, kD, kForwardThreads>(values)) has_zeroed[0] = true;
    }
    __syncthreads();  // the tile is there, and all warps are done with the one before
    if (tile > first_tile) load_keys(tile - 1);
    const int warp_query = first_query + warp_row, last_query = warp_query + 16 * kTiles - 1;
    if (first_key > last_query || first_key + kKeys <= shape.first_seen(warp_query)) continue;

    float s[kTiles][kKeys / 8][4];
    set_zero(s);
    TPLAB_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      if constexpr (Tiles::kQueriesInRegisters) {
        add_product_of_rows<kKeys>(s, q[step], keys, 0, 16 * step);
      } else {
        load_queries(q[0], step);
        add_product_of_rows<kKeys>(s, q[0], keys, 0, 16 * step);
      }
    }
    if (scores.capped()) scores.cap(s);
    const int my_key = first_key + lane % 4 * 2, back = my_query - my_key;
    if (first_key + kKeys - 1 > warp_query || first_key < shape.first_seen(last_query)) {
      TPLAB_UNROLL
      for (int m = 0; m < kTiles; ++m) TPLAB_UNROLL
      for (int n = 0; n < kKeys / 8; ++n) TPLAB_UNROLL
      for (int e = 0; e < 4; ++e)
        if (!shape.sees(back + 16 * m + e / 2 * 8 - 8 * n - e % 2)) s[m][n][e] = -INFINITY;
    }
    TPLAB_UNROLL
    for (int m = 0; m < kTiles; ++m) TPLAB_UNROLL
    for (int half = 0; half < 2; ++half) {
      const float factor = step_softmax(state[m][half], s[m], half, scores);
      TPLAB_UNROLL
      for (int n = 0; n < kD / 8; ++n) {
        y[m][n][2 * half] *= factor;
        y[m][n][2 * half + 1] *= factor;
      }
    }
    if constexpr (kDrops) {
      const int64_t first = shape.dropped.first_of(b, h, 0);
      TPLAB_UNROLL
      for (int m = 0; m < kTiles; ++m) TPLAB_UNROLL
      for (int n = 0; n < kKeys / 8; ++n) {
        bool keeps[4];
        keeps_by_query(shape.dropped, first, my_query + 16 * m, my_key + 8 * n, keeps);
        TPLAB_UNROLL
        for (int e = 0; e < 4; ++e) s[m][n][e] = keeps[e] ? s[m][n][e] : 0;
      }
    }
    TPLAB_UNROLL
    for (int step = 0; step < kKeys / 16; ++step) {
      uint32_t p[kTiles][4];
      to_a(p, s, step);
      add_product_of_columns<kKeys>(y, p, values, 16 * step, 0);
    }
  }

  // The quotient, with the sink's term of the sum.
  const float kept = kDrops ? static_cast<float>(shape.dropped.numbers.kept) : 1;
  TPLAB_UNROLL
  for (int m = 0; m < kTiles; ++m) TPLAB_UNROLL
  for (int half = 0; half < 2; ++half) {
    float sum = state[m][half].sum;
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    const int row = first_row + warp_row + lane / 4 + 16 * m + 8 * half;
    if (row >= shape.T) continue;
    const RowEnd end_of_row =
        scores.end_of_row(state[m][half].largest, sum, shape.sinks ? shape.sinks + h : nullptr);
    store_row(y, m, half, kept * end_of_row.factor, a.y.at(b, h, row), shape.D);
    if (a.stats && lane % 4 == 0) {
      float* const to = a.stats + 2 * ((int64_t{b} * shape.H + h) * shape.T + row);
      to[0] = state[m][half].largest;
      to[1] = end_of_row.log_sum;
    }
  }
  if (!has_zeroed[0]) return;
  __syncthreads();
  TPLAB_ROLLED
  for (int i = static_cast<int>(threadIdx.x); i < rows * shape.D; i += kForwardThreads) {
    const int row = i / shape.D, column = i % shape.D, query = first_query + row;
    if (sees_unfinite(shape, query, shape.first_seen(query), end, v + column, a.v.of_position))
      a.y.at(b, h, first_row + row)[column] = bf16(INFINITY - INFINITY);
  }
}

template <int kD>
void attend_up_to(void* stream, const Attend<bf16>& a) {
  using Tiles = ForwardTiles<kD>;
  const Launch shape{
      "attend_bf16",
      dim3(blocks_for(a.shape.T, Tiles::kRows) * static_cast<unsigned>(a.shape.B * a.shape.H)),
      dim3(kForwardThreads), Tiles::kSharedBytes};
  if (a.drops) {
    launch(stream, shape, attend_bf16<kD, true>, a);
  } else {
    launch(stream, shape, attend_bf16<kD, false>, a);
  }
}

}  // namespace

void attend_on_tensor_cores(void* stream, const Attend<bf16>& a) {
  if (a.shape.D <= 64) return attend_up_to<64>(stream, a);
  if (a.shape.D <= 128) return attend_up_to<128>(stream, a);
  attend_up_to<256>(stream, a);
}

void CudaDevice::compute(const op::CausalAttention& o) {
  dispatch(o.qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const AttentionShape<Real> shape = attention_shape<Real>(o.form, o.qkv, o.sinks);
    const int64_t T = shape.T, D = shape.D, H = o.form.heads, K = o.form.kv_heads;
    const Real* const qkv = o.qkv.template as<Real>();
    attend(stream(), Attend<Real>{.shape = shape,
                                  .q = rows_of_heads(qkv, 0, T, H + 2 * K, D),
                                  .k = rows_of_heads(qkv, H, T, H + 2 * K, D),
                                  .v = rows_of_heads(qkv, H + K, T, H + 2 * K, D),
                                  .y = rows_of_heads(o.y.template as<Real>(), 0, T, H, D),
                                  .stats = o.stats.template as<Computed<Real>>(),
                                  .drops = o.form.mask.has_value()});
  });
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
