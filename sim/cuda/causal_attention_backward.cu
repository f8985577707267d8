// The gradient of causal attention on tensor cores, for bf16; plain_attention.cu has f32 and f64.
//
// With S = q kᵀ, P its probabilities and dP = dy vᵀ:  dS = P ∘ (dP - Δ), Δ the row sums dy·y,
// dq = dS k, dk = dSᵀ q, dv = Pᵀ dy. Two kernels of one form: a block owns a tile of rows, and the
// rows of the other side stream by, tile after tile, while the next is on its way.
//
//   owned      streamed    S and dP are made as           sums in registers
//   q, dy      k, v        q kᵀ, dy vᵀ                    dq += dS k
//   k, v       q, dy       k qᵀ, v dyᵀ (transposed)       dk += dSᵀ q, dv += Pᵀ dy
//
// So S and dP are in the layout in which the next product wants them, and never leave registers.
// It is seven products where FlashAttention-2 has five, which adds dq up by atomics, in another
// order and with other bits in each run. What keeps the order there costs as much: a turn that each
// key tile waits for, with f32 sums of dq that travel between the SMs and memory for every pair of
// tiles, or dS in memory, T x T of it. This needs no memory and no waiting, and the products have
// the tensor cores for themselves.
// source: Dao 2023 (FlashAttention-2), section 3.1.2; Dao et al. 2022, appendix B.2
#include "sim/cuda/attention_tiles.h"
#include "sim/cuda/causal_attention_backward.h"
#include "sim/cuda/cuda_device.h"
#include "sim/cuda/reduce.h"
#include "sim/cuda/scores.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

constexpr int kBackwardThreads = 128;

// The planes of what is known of a query. The sum's logarithm is in base 2; queries past the last
// have p = 0.
enum class RowPlane { largest, log_sum, dy_y };
static_assert(static_cast<int>(RowPlane::dy_y) + 1 == kRowPlanes);

__device__ __forceinline__ int64_t place_of_row(int64_t head, int T, int query, RowPlane plane) {
  const int blocks = (T + kRowBlock - 1) / kRowBlock;
  return ((head * blocks + query / kRowBlock) * kRowPlanes + static_cast<int>(plane)) * kRowBlock +
         query % kRowBlock;
}

// For heads of up to kD numbers. A lane holds 2 kTiles kColumns / 4 numbers of each sum, and
// kTiles kAtOnce / 2 of S and of dP.
template <int kD, bool kOwnsKeys, bool kPlain>
struct BackwardTiles {
  // Owned rows: of 16 kTiles a warp. Streamed rows: of a tile, and of those that are in registers.
  static constexpr int kTiles = kD <= (kOwnsKeys ? 64 : 128) ? 2 : 1;
  static constexpr int kRows = kTiles * 16 * kBackwardThreads / kWarp;
  static constexpr int kStreamed = kD <= 64 || (kD <= 128 && kOwnsKeys) ? 64 : 32;
  static constexpr int kAtOnce =
      (kD == 128 && !kOwnsKeys) || (kD == 64 && kOwnsKeys && !kPlain) ? 16 : 32;
  static constexpr bool kOwnedInRegisters = kD == 64 && !kOwnsKeys;  // the first of the owned
  // Columns of the sums that a block computes: two blocks share a tile where a lane cannot hold
  // all.
  static constexpr int kColumns = kD == 256 && kOwnsKeys ? 128 : kD;
  static constexpr int kBlocks = kD <= 128 ? 2 : 1;  // on an SM
  static constexpr int kOwnedNumbers = kRows * kD, kStreamedNumbers = kStreamed * kD;
  static constexpr size_t kStageBytes =
      2 * kStreamedNumbers * sizeof(bf16) + (kOwnsKeys ? 3 * kStreamed * sizeof(float) : 0);
  static constexpr size_t kSharedBytes = 2 * kOwnedNumbers * sizeof(bf16) + 2 * kStageBytes;
};

constexpr int kRowsOfBlock = 32;

// Of each query: the largest score, the sum's logarithm in base 2, Δ. Eight lanes a query.
__global__ void attention_rows(AttendBackward<bf16> a) {
  const int blocks = (a.shape.T + kRowBlock - 1) / kRowBlock, padded = blocks * kRowBlock;
  const int64_t row = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 8;
  const int64_t head = row / padded;
  const int query = static_cast<int>(row % padded), lane = static_cast<int>(threadIdx.x % 8);
  const bool real = head < int64_t{a.shape.B} * a.shape.H && query < a.shape.T;
  float dy_y = 0;
  if (real) {
    const int64_t b = head / a.shape.H, h = head % a.shape.H;
    for (int d = lane * kChunk; d < a.shape.D; d += 8 * kChunk) {
      const auto y = load_pack<kChunk>(a.y.at(b, h, query) + d);
      const auto dy = load_pack<kChunk>(a.dy.at(b, h, query) + d);
      TPLAB_UNROLL
      for (int i = 0; i < kChunk; ++i) dy_y += y.value[i] * dy.value[i];
    }
  }
  for (int with = 4; with > 0; with /= 2) dy_y += __shfl_xor_sync(kAllLanes, dy_y, with);
  if (lane != 0 || head >= int64_t{a.shape.B} * a.shape.H) return;
  const float* const stats = a.stats + 2 * (head * a.shape.T + query);
  const auto write = [&](RowPlane plane, float x) {
    a.rows[place_of_row(head, a.shape.T, query, plane)] = x;
  };
  write(RowPlane::largest, real ? stats[0] : 0);
  write(RowPlane::log_sum, real ? stats[1] * Scores::kLog2e : INFINITY);
  write(RowPlane::dy_y, dy_y);
}

// dsinks[h] += Σ over b and t of -exp(sink - a m - L) Δ. A block a head.
__global__ void attention_dsinks(AttendBackward<bf16> a) {
  const Scores scores(a.shape.scale, a.shape.softcap);
  const int h = static_cast<int>(blockIdx.x);
  const float sink = low_of(a.shape.sinks[h].bits) * Scores::kLog2e;
  float sum = 0;
  for (int b = 0; b < a.shape.B; ++b) {
    const int64_t head = int64_t{b} * a.shape.H + h;
    for (int t = static_cast<int>(threadIdx.x); t < a.shape.T; t += static_cast<int>(blockDim.x)) {
      const auto of = [&](RowPlane plane) {
        return a.rows[place_of_row(head, a.shape.T, t, plane)];
      };
      const float shift = fmaf(of(RowPlane::largest), scores.to_base_2, of(RowPlane::log_sum));
      sum -= exp2_fast(sink - shift) * of(RowPlane::dy_y);
    }
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) a.dsinks[h] += sum;
}

// What a lane needs of queries to make probabilities and gradients of scores.
struct QueryNumbers {
  float largest, log_sum, dy_y;
};

// kPlain: nothing is dropped, and no cap.
template <int kD, bool kOwnsKeys, bool kPlain>
__global__ void __launch_bounds__(kBackwardThreads, BackwardTiles<kD, kOwnsKeys, kPlain>::kBlocks)
    attend_backward_bf16(AttendBackward<bf16> a) {
  using Tiles = BackwardTiles<kD, kOwnsKeys, kPlain>;
  constexpr int kTiles = Tiles::kTiles, kRows = Tiles::kRows, kStreamed = Tiles::kStreamed;
  constexpr int kAtOnce = Tiles::kAtOnce, kColumns = Tiles::kColumns, kSteps = kD / 16;
  unsigned char* const shared = dynamic_shared<unsigned char>();
  bf16* const first_owned = reinterpret_cast<bf16*>(shared);
  bf16* const second_owned = first_owned + Tiles::kOwnedNumbers;
  const auto stage = [&](int i) {
    return shared + 2 * Tiles::kOwnedNumbers * sizeof(bf16) +
           static_cast<size_t>(i % 2) * Tiles::kStageBytes;
  };

  // The tiles that see, or are seen by, the most go first: the last queries, the first keys.
  const AttentionShape<bf16>& shape = a.shape;
  const int T = shape.T, H = shape.H;
  constexpr int kParts = kD / kColumns;
  const int owners = kOwnsKeys ? H / shape.group : H, heads = shape.B * owners;
  const int block = static_cast<int>(blockIdx.x) / kParts;
  const int first_column = static_cast<int>(blockIdx.x) % kParts * kColumns;
  const int row_tile = kOwnsKeys ? block / heads : (T + kRows - 1) / kRows - 1 - block / heads;
  const int first_row = row_tile * kRows, rows = std::min(kRows, T - first_row);
  const int b = block % heads / owners, owner = block % owners;

  // What streams by: of one head, or of each query head of the group after the other, some tiles.
  const int first_head = kOwnsKeys ? owner * shape.group : owner / shape.group;
  const int streamed_heads = kOwnsKeys ? shape.group : 1;
  int first_tile = 0, last_tile = 0;
  if constexpr (kOwnsKeys) {
    const int64_t last_seeing = int64_t{first_row} + rows - 2 + shape.reach;
    first_tile = first_row / kStreamed;
    last_tile = static_cast<int>(std::min<int64_t>(T - 1, last_seeing)) / kStreamed;
  } else {
    first_tile = shape.first_seen(first_row) / kStreamed;
    last_tile = (first_row + rows - 1) / kStreamed;
  }
  const int tiles = last_tile - first_tile + 1;

  const HeadRows<const bf16>&own1 = kOwnsKeys ? a.k : a.q, &own2 = kOwnsKeys ? a.v : a.dy;
  const HeadRows<const bf16>&other1 = kOwnsKeys ? a.q : a.k, &other2 = kOwnsKeys ? a.dy : a.v;
  const auto load_streamed = [&](int i) {
    const int head = first_head + i / tiles, row = (first_tile + i % tiles) * kStreamed;
    bf16* const to = reinterpret_cast<bf16*>(stage(i));
    load_tile<kStreamed, kD, kBackwardThreads>(to, other1.at(b, head, row), other1.of_position,
                                               T - row, shape.D);
    load_tile<kStreamed, kD, kBackwardThreads>(to + Tiles::kStreamedNumbers,
                                               other2.at(b, head, row), other2.of_position, T - row,
                                               shape.D);
    if constexpr (kOwnsKeys) {
      constexpr int kPieces = kStreamed / 4;  // of 16 bytes, in a plane
      const int plane = static_cast<int>(threadIdx.x) / kPieces;
      const int at = static_cast<int>(threadIdx.x) % kPieces * 4;
      float* const numbers = reinterpret_cast<float*>(to + 2 * Tiles::kStreamedNumbers);
      if (plane < 3)
        copy_async_16(numbers + plane * kStreamed + at,
                      a.rows + place_of_row(int64_t{b} * H + head, T, row + at,
                                            static_cast<RowPlane>(plane)));
    }
    commit_copies();
  };
  load_tile<kRows, kD, kBackwardThreads>(first_owned, own1.at(b, owner, first_row),
                                         own1.of_position, rows, shape.D);
  load_tile<kRows, kD, kBackwardThreads>(second_owned, own2.at(b, owner, first_row),
                                         own2.of_position, rows, shape.D);
  commit_copies();
  load_streamed(0);

  const int lane = static_cast<int>(lane_of_thread());
  const int warp_row = static_cast<int>(threadIdx.x / kWarp) * 16 * kTiles;
  const int warp_first = first_row + warp_row, warp_last = warp_first + 16 * kTiles - 1;
  const int my_row = warp_first + lane / 4;  // of m = 0, half 0
  const Scores scores(shape.scale, shape.softcap);
  const bool drops = !kPlain && a.drops, capped = !kPlain && scores.capped();
  const float kept = drops ? static_cast<float>(shape.dropped.numbers.kept) : 1;
  QueryNumbers mine[kTiles][2];
  if constexpr (!kOwnsKeys) {
    TPLAB_UNROLL
    for (int m = 0; m < kTiles; ++m) TPLAB_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int query = std::min(my_row + 16 * m + 8 * half, T - 1);
      const auto of = [&](RowPlane plane) {
        return a.rows[place_of_row(int64_t{b} * H + owner, T, query, plane)];
      };
      mine[m][half] = {of(RowPlane::largest), of(RowPlane::log_sum), of(RowPlane::dy_y)};
    }
  }
  const auto load_owned = [&](uint32_t(&to)[kTiles][4], const bf16* tile, int step) {
    TPLAB_UNROLL
    for (int m = 0; m < kTiles; ++m) load_a<kRows>(to[m], tile, warp_row + 16 * m, 16 * step);
  };
  uint32_t first[Tiles::kOwnedInRegisters ? kSteps : 1][kTiles][4];
  if constexpr (Tiles::kOwnedInRegisters) {
    wait_for_copies<1>();
    __syncthreads();
    TPLAB_UNROLL
    for (int step = 0; step < kSteps; ++step) load_owned(first[step], first_owned, step);
  }
  float sum1[kTiles][kColumns / 8][4];
  float sum2[kOwnsKeys ? kTiles : 1][kOwnsKeys ? kColumns / 8 : 1][4];
  set_zero(sum1);
  set_zero(sum2);

  TPLAB_ROLLED
  for (int i = 0; i < tiles * streamed_heads; ++i) {
    wait_for_copies<0>();
    __syncthreads();  // the tile is there, and all warps are done with the one before
    if (i + 1 < tiles * streamed_heads) load_streamed(i + 1);
    const bf16* const streamed1 = reinterpret_cast<const bf16*>(stage(i));
    const bf16* const streamed2 = streamed1 + Tiles::kStreamedNumbers;
    const float* const numbers =
        reinterpret_cast<const float*>(streamed1 + 2 * Tiles::kStreamedNumbers);

    TPLAB_ROLLED
    for (int part = 0; part < kStreamed; part += kAtOnce) {
      const int from = (first_tile + i % tiles) * kStreamed + part, last = from + kAtOnce - 1;
      const int first_query = kOwnsKeys ? from : warp_first;
      const int last_query = kOwnsKeys ? last : warp_last;
      const int first_key = kOwnsKeys ? warp_first : from, last_key = kOwnsKeys ? warp_last : last;
      if (first_key > last_query || last_key < shape.first_seen(first_query)) continue;

      float s[kTiles][kAtOnce / 8][4], ds[kTiles][kAtOnce / 8][4];
      set_zero(s);
      set_zero(ds);
      TPLAB_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        if constexpr (!Tiles::kOwnedInRegisters) load_owned(first[0], first_owned, step);
        add_product_of_rows<kStreamed>(s, first[Tiles::kOwnedInRegisters ? step : 0], streamed1,
                                       part, 16 * step);
      }
      TPLAB_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        uint32_t owned[kTiles][4];
        load_owned(owned, second_owned, step);
        add_product_of_rows<kStreamed>(ds, owned, streamed2, part, 16 * step);
      }

      // s becomes the probabilities, those that are dropped 0; ds, so far dP, the gradients.
      const bool masks = last_key > first_query || first_key < shape.first_seen(last_query);
      const int my_column = from + lane % 4 * 2;
      const int back = kOwnsKeys ? my_column - my_row : my_row - my_column;
      const int head = kOwnsKeys ? first_head + i / tiles : owner;
      const int64_t first_number = drops ? shape.dropped.first_of(b, head, 0) : 0;
      TPLAB_UNROLL
      for (int n = 0; n < kAtOnce / 8; ++n) {
        QueryNumbers of_column[2];
        if constexpr (kOwnsKeys) {
          const float* const at = numbers + part + 8 * n + lane % 4 * 2;
          TPLAB_UNROLL
          for (int e = 0; e < 2; ++e)
            of_column[e] = {at[e], at[kStreamed + e], at[2 * kStreamed + e]};
        }
        TPLAB_UNROLL
        for (int m = 0; m < kTiles; ++m) {
          bool keeps[4] = {true, true, true, true};
          if (drops) {
            if constexpr (kOwnsKeys) {
              keeps_by_key(shape.dropped, first_number, my_column + 8 * n, my_row + 16 * m, keeps);
            } else {
              keeps_by_query(shape.dropped, first_number, my_row + 16 * m, my_column + 8 * n,
                             keeps);
            }
          }
          TPLAB_UNROLL
          for (int e = 0; e < 4; ++e) {
            const QueryNumbers& row = kOwnsKeys ? of_column[e % 2] : mine[m][e / 2];
            float u = s[m][n][e], slope = 1;
            if (capped) {
              u = scores.cap(u);
              slope = scores.slope(u);
            }
            float p = exp2_fast(fmaf(u - row.largest, scores.to_base_2, -row.log_sum));
            const int down = 16 * m + e / 2 * 8, right = 8 * n + e % 2;
            if (masks && !shape.sees(back + (kOwnsKeys ? right - down : down - right))) p = 0;
            const float dp = keeps[e] ? ds[m][n][e] * kept : 0;
            s[m][n][e] = keeps[e] ? p : 0;
            ds[m][n][e] = p * (dp - row.dy_y) * slope;
          }
        }
      }

      TPLAB_UNROLL
      for (int step = 0; step < kAtOnce / 16; ++step) {
        uint32_t rounded[kTiles][4];
        to_a(rounded, ds, step);
        add_product_of_columns<kStreamed>(sum1, rounded, streamed1, part + 16 * step, first_column);
        if constexpr (kOwnsKeys) {
          to_a(rounded, s, step);
          add_product_of_columns<kStreamed>(sum2, rounded, streamed2, part + 16 * step,
                                            first_column);
        }
      }
    }
  }

  const HeadRows<bf16>& to1 = kOwnsKeys ? a.dk : a.dq;
  TPLAB_UNROLL
  for (int m = 0; m < kTiles; ++m) TPLAB_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int row = my_row + 16 * m + 8 * half;
    if (row >= T) continue;
    store_row(sum1, m, half, shape.scale, to1.at(b, owner, row) + first_column,
              shape.D - first_column);
    if constexpr (kOwnsKeys)
      store_row(sum2, m, half, kept, a.dv.at(b, owner, row) + first_column, shape.D - first_column);
  }
}

template <int kD, bool kOwnsKeys>
void attend_backward_of(void* stream, const AttendBackward<bf16>& a) {
  const int heads = a.shape.B * (kOwnsKeys ? a.shape.H / a.shape.group : a.shape.H);
  const auto queue = [&](auto plain) {
    constexpr bool kPlain = decltype(plain)::value;
    using Tiles = BackwardTiles<kD, kOwnsKeys, kPlain>;
    const unsigned tiles = blocks_for(a.shape.T, Tiles::kRows) * (kD / Tiles::kColumns);
    launch(
        stream,
        {kOwnsKeys ? "attend_backward_keys" : "attend_backward_queries",
         dim3(tiles * static_cast<unsigned>(heads)), dim3(kBackwardThreads), Tiles::kSharedBytes},
        attend_backward_bf16<kD, kOwnsKeys, kPlain>, a);
  };
  if (a.drops || a.shape.softcap > 0) {
    queue(std::false_type());
  } else {
    queue(std::true_type());
  }
}

template <int kD>
void attend_backward_up_to(void* stream, const AttendBackward<bf16>& a) {
  attend_backward_of<kD, true>(stream, a);
  attend_backward_of<kD, false>(stream, a);
}

}  // namespace

void attend_backward_on_tensor_cores(void* stream, const AttendBackward<bf16>& a) {
  const int64_t queries =
      (int64_t{a.shape.T} + kRowBlock - 1) / kRowBlock * kRowBlock * a.shape.B * a.shape.H;
  launch(stream, {"attention_rows", blocks_for(queries, kRowsOfBlock), dim3(8 * kRowsOfBlock)},
         attention_rows, a);
  if (a.dsinks)
    launch(stream, {"attention_dsinks", static_cast<unsigned>(a.shape.H), dim3(256)},
           attention_dsinks, a);
  if (a.shape.D <= 64) return attend_backward_up_to<64>(stream, a);
  if (a.shape.D <= 128) return attend_backward_up_to<128>(stream, a);
  attend_backward_up_to<256>(stream, a);
}

void CudaDevice::compute(const op::CausalAttentionBackward& o) {
  dispatch(o.qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    using Sum = Computed<Real>;
    const AttentionShape<Real> shape = attention_shape<Real>(o.form, o.qkv, o.sinks);
    const int64_t T = shape.T, D = shape.D, H = o.form.heads, K = o.form.kv_heads;
    const Real* const qkv = o.qkv.template as<Real>();
    Real* const dqkv = o.dqkv.template as<Real>();
    const auto [kept, rows] = scratch<Sum>(shape.B * H * row_numbers(T));
    attend_backward(
        stream(),
        AttendBackward<Real>{.shape = shape,
                             .q = rows_of_heads(qkv, 0, T, H + 2 * K, D),
                             .k = rows_of_heads(qkv, H, T, H + 2 * K, D),
                             .v = rows_of_heads(qkv, H + K, T, H + 2 * K, D),
                             .y = constant(rows_of_heads(o.y.template as<Real>(), 0, T, H, D)),
                             .dy = constant(rows_of_heads(o.dy.template as<Real>(), 0, T, H, D)),
                             .dq = rows_of_heads(dqkv, 0, T, H + 2 * K, D),
                             .dk = rows_of_heads(dqkv, H, T, H + 2 * K, D),
                             .dv = rows_of_heads(dqkv, H + K, T, H + 2 * K, D),
                             .stats = o.stats.template as<Sum>(),
                             .dsinks = o.sinks.present() ? o.dsinks.template as<Sum>() : nullptr,
                             .rows = rows,
                             .drops = o.form.mask.has_value()});
  });
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
