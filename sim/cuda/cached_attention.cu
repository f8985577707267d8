// Causal attention over a cache. Many queries are attention's as for training, behind what is
// cached. Few (decoding: one) would leave most of a GPU idle, a head a block; there the cache of a
// head is split over blocks, each for all queries that read it, and over their warps. Each makes a
// running softmax of its own part; who is last joins them, in the order of the parts.
//
// The bytes of the cache are what it costs, so they go from memory to registers 16 at a time and
// nowhere else: the fragments of mma_16x8x16 do not ask which column of depth is which, as long as
// both factors agree, so a lane takes eight neighbouring numbers of a key where the instruction's
// layout has pairs far apart. Up to 16 rows (queries times heads of a group) cost no more than one.
//
// Which part a block has follows from `past`, read on the device: a captured step can be replayed
// at any position. source: Dao et al. 2023 (Flash-Decoding); Milakov and Gimelshein 2018
#include <cmath>

#include "sim/cuda/attention_tiles.h"
#include "sim/cuda/causal_attention.h"
#include "sim/cuda/cuda_device.h"
#include "sim/cuda/reduce.h"
#include "sim/cuda/scores.h"
#include "sim/error.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

// A new position of a key and value head a block.   grid: [T, K, B]
template <class Real>
__global__ void store_new_keys(AttentionShape<Real> shape, HeadRows<const Real> k,
                               HeadRows<const Real> v, HeadRows<Real> keys, HeadRows<Real> values) {
  const int64_t t = blockIdx.x, h = blockIdx.y, b = blockIdx.z;
  const int64_t position = shape.past(static_cast<int>(b)) + t;
  for (int d = static_cast<int>(threadIdx.x); d < shape.D; d += static_cast<int>(blockDim.x)) {
    keys.at(b, h, position)[d] = k.at(b, h, t)[d];
    values.at(b, h, position)[d] = v.at(b, h, t)[d];
  }
}

constexpr int kDecodeThreads = 128, kDecodeWarps = kDecodeThreads / kWarp;
constexpr int kFragmentRows = 16, kFragmentKeys = 16;
constexpr int kPartKeys = kFragmentKeys * kDecodeWarps;  // of the smallest part
constexpr int kWantedBlocks = 4 * 132;  // of any GPU, so that bits do not depend on which
constexpr int kMostJoined = 512;        // parts times rows: the last block's work
constexpr int kMostDecodeRows = 64;

struct Decode {
  AttentionShape<bf16> shape;
  HeadRows<const bf16> q, k, v;    // of the new positions
  HeadRows<bf16> keys, values, y;  // the cache's, [B, K, S, D], and the result's
  int parts;                       // that there may be
  float *sums, *states;            // of parts: [.., parts, 16, D] and [.., parts, 16, 2]
  int32_t* arrived;                // parts that are there: zeros before, and after
};

// A part of a row's softmax: its largest score, and the sum of p = exp(a (u - largest)).
struct PartialRow {
  float largest = -INFINITY, sum = 0;
};
// exp(a (u - largest)), 0 where nothing is seen yet.
__device__ __forceinline__ float power_of(const Scores& scores, float u, float largest) {
  return scores.power(u, largest == -INFINITY ? 0 : largest);
}

__device__ __forceinline__ Bytes16 load_or_zeros(const bf16* from, bool real) {
  return real ? load_16(from) : Bytes16{};
}
// {low half of a, low half of b}, and of the high halves.
__device__ __forceinline__ uint32_t low_halves(uint32_t a, uint32_t b) {
  return (a & 0xffffu) | b << 16;
}
__device__ __forceinline__ uint32_t high_halves(uint32_t a, uint32_t b) {
  return a >> 16 | (b & 0xffff0000u);
}

// The part of a warp: rows [16] of one key and value head, over 16 keys at a time. With g = lane /
// 4 and t = lane % 4, column d of depth of step 2 i is 32 i + 8 t + {0, 1} and + {2, 3} where the
// instruction says 2 t + {0, 1} and + {8, 9}, of step 2 i + 1 + {4, 5} and + {6, 7}; column g of
// tile n of y is 64 (n / 8) + 8 g + n % 8.
template <int kD>
struct DecodingWarp {
  static constexpr int kPieces = kD / 32, kPanels = kD / 64;
  const AttentionShape<bf16>& shape;
  const bf16* q[2];  // of rows g and g + 8, at the lane's columns; null where there is none
  int position[2];   // of these queries
  PartialRow state[2];
  float y[kPanels * 8][4] = {};
  bool has_zeroed = false;  // values that are not finite

  __device__ __forceinline__ bool column(int piece) const {
    return 32 * piece + 8 * (static_cast<int>(lane_of_thread()) % 4) < shape.D;
  }
  __device__ __forceinline__ void load_rows(Bytes16 (&rows)[2], int piece) const {
    TPLAB_UNROLL
    for (int half = 0; half < 2; ++half) {
      const bf16* const from = q[half] ? q[half] + 32 * piece : nullptr;
      rows[half] = load_or_zeros(from, from && column(piece));
    }
  }

  // Keys first .. first + 15, those from `end` on being none.
  __device__ __forceinline__ void step(const Decode& a, const bf16* keys, const bf16* values,
                                       int first, int end, const Scores& scores) {
    const int lane = static_cast<int>(lane_of_thread()), g = lane / 4, t = lane % 4;
    Bytes16 k[2][kPieces], v[kPanels <= 2 ? kPanels : 1][4];
    TPLAB_UNROLL
    for (int n = 0; n < 2; ++n) TPLAB_UNROLL
    for (int i = 0; i < kPieces; ++i) {
      const int key = first + 8 * n + g;
      k[n][i] =
          load_or_zeros(keys + key * a.keys.of_position + 32 * i + 8 * t, key < end && column(i));
    }
    const auto load_values = [&](Bytes16(&to)[4], int panel) {
      TPLAB_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int key = first + 2 * t + j % 2 + j / 2 * 8, c = 64 * panel + 8 * g;
        to[j] = load_or_zeros(values + key * a.values.of_position + c, key < end && c < shape.D);
      }
    };
    if constexpr (kPanels <= 2) {  // else registers are too few: just before they are used
      TPLAB_UNROLL
      for (int panel = 0; panel < kPanels; ++panel) load_values(v[panel], panel);
    }

    float s[2][4] = {};
    TPLAB_UNROLL
    for (int i = 0; i < kPieces; ++i) {
      Bytes16 rows[2];
      load_rows(rows, i);
      TPLAB_UNROLL
      for (int part = 0; part < 2; ++part) {
        const uint32_t pair[4] = {rows[0].word[2 * part], rows[1].word[2 * part],
                                  rows[0].word[2 * part + 1], rows[1].word[2 * part + 1]};
        TPLAB_UNROLL
        for (int n = 0; n < 2; ++n) {
          const uint32_t of_keys[2] = {k[n][i].word[2 * part], k[n][i].word[2 * part + 1]};
          mma_16x8x16(s[n], pair, of_keys);
        }
      }
    }
    TPLAB_UNROLL
    for (int half = 0; half < 2; ++half) {
      PartialRow& row = state[half];
      float largest = row.largest;
      TPLAB_UNROLL
      for (int i = 0; i < 4; ++i) {
        float& u = s[i / 2][2 * half + i % 2];
        const int key = first + 8 * (i / 2) + 2 * t + i % 2;
        if (scores.capped()) u = scores.cap(u);
        if (key >= end || !shape.sees(position[half] - key)) u = -INFINITY;
        largest = fmaxf(largest, u);
      }
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2));
      const float factor = power_of(scores, row.largest, largest);
      row.largest = largest;
      row.sum *= factor;
      TPLAB_UNROLL
      for (int i = 0; i < 4; ++i) {
        float& p = s[i / 2][2 * half + i % 2];
        p = power_of(scores, p, largest);
        row.sum += p;
      }
      TPLAB_UNROLL
      for (int n = 0; n < kPanels * 8; ++n) {
        y[n][2 * half] *= factor;
        y[n][2 * half + 1] *= factor;
      }
    }
    const uint32_t p[4] = {pack_bf16(s[0][0], s[0][1]), pack_bf16(s[0][2], s[0][3]),
                           pack_bf16(s[1][0], s[1][1]), pack_bf16(s[1][2], s[1][3])};
    TPLAB_UNROLL
    for (int panel = 0; panel < kPanels; ++panel) {
      Bytes16(&x)[4] = v[kPanels <= 2 ? panel : 0];
      if constexpr (kPanels > 2) load_values(x, panel);
      // As in causal_attention.cu, where rows differ in the keys that they see.
      if (shape.T > 1 || shape.reach != kUnlimited) {
        TPLAB_UNROLL
        for (Bytes16& one : x) {
          if (!has_unfinite(one)) continue;
          has_zeroed = true;
          zero_unfinite(one);
        }
      }
      TPLAB_UNROLL
      for (int i = 0; i < 4; ++i) {
        const uint32_t low[2] = {low_halves(x[0].word[i], x[1].word[i]),
                                 low_halves(x[2].word[i], x[3].word[i])};
        const uint32_t high[2] = {high_halves(x[0].word[i], x[1].word[i]),
                                  high_halves(x[2].word[i], x[3].word[i])};
        mma_16x8x16(y[8 * panel + 2 * i], p, low);
        mma_16x8x16(y[8 * panel + 2 * i + 1], p, high);
      }
    }
  }
};

// Joins `count` parts of rows, of which part i has states[i stride + 2 row ..] = {largest, sum}:
// weights[row count + i] is what its sums are multiplied with, joined[2 row ..] the state of the
// whole. A warp a row. Volatile: other blocks may have written them.
__device__ __forceinline__ void join_rows(const Scores& scores, const volatile float* states,
                                          int stride, int rows, int count, float* weights,
                                          float* joined) {
  const int lane = static_cast<int>(lane_of_thread());
  for (int row = static_cast<int>(threadIdx.x / kWarp); row < rows; row += kDecodeWarps) {
    const volatile float* const of_row = states + 2 * row;
    PartialRow whole;
    for (int i = lane; i < count; i += kWarp)
      whole.largest = fmaxf(whole.largest, of_row[i * stride]);
    whole.largest = over_warp(whole.largest, Largest());
    for (int i = lane; i < count; i += kWarp) {
      const float weight = power_of(scores, of_row[i * stride], whole.largest);
      weights[row * count + i] = weight;
      whole.sum += of_row[i * stride + 1] * weight;
    }
    whole.sum = warp_sum(whole.sum);
    if (lane != 0) continue;
    joined[2 * row] = whole.largest;
    joined[2 * row + 1] = whole.sum;
  }
}
__device__ __forceinline__ float joined_sum(const volatile float* sums, int64_t stride, int count,
                                            const float* weights) {
  float sum = 0;
  for (int i = 0; i < count; ++i) sum += sums[i * stride] * weights[i];
  return sum;
}

// Numbers of shared memory.
template <int kD>
struct DecodeShared {
  static constexpr int kStates = kDecodeWarps * kFragmentRows * 2;
  static constexpr int kSums = kDecodeWarps * kFragmentRows * kD;
  static constexpr size_t kBytes =
      sizeof(float) * (kStates + kMostJoined + kFragmentRows * 2 + kSums);
};

// grid: [parts, K times tiles of 16 rows, B]. Row r of a key head is query r / group of its
// r % group-th query head.
template <int kD>
__global__ void __launch_bounds__(kDecodeThreads, kD <= 64 ? 4 : 2) decode_part(Decode a) {
  const AttentionShape<bf16>& shape = a.shape;
  const int lane = static_cast<int>(lane_of_thread());
  const int warp = static_cast<int>(threadIdx.x) / kWarp, thread = static_cast<int>(threadIdx.x);
  const int all_rows = shape.group * shape.T;
  const int row_tiles = (all_rows + kFragmentRows - 1) / kFragmentRows;
  const int part = static_cast<int>(blockIdx.x), b = static_cast<int>(blockIdx.z);
  const int kv_head = static_cast<int>(blockIdx.y) / row_tiles;
  const int first_row = static_cast<int>(blockIdx.y) % row_tiles * kFragmentRows;
  const int rows = std::min(int{kFragmentRows}, all_rows - first_row);

  // Which keys: those that any query sees, in equal parts of whole kPartKeys.
  const int past = shape.past(b), seen_from = shape.first_seen(past),
            seen = past + shape.T - seen_from;
  const int pieces = (seen + kPartKeys - 1) / kPartKeys;
  const int keys_of_part = (pieces + a.parts - 1) / a.parts * kPartKeys;
  const int parts = (seen + keys_of_part - 1) / keys_of_part;
  if (part >= parts) return;
  const int begin = seen_from + part * keys_of_part;
  const int end = std::min(begin + keys_of_part, past + shape.T);

  // New keys and values are stored by whose part they are in.
  for (int position = std::max(begin, past); position < end; ++position) {
    const int t = position - past;
    for (int d = thread * kChunk; d < shape.D; d += kDecodeThreads * kChunk) {
      store_16(a.keys.at(b, kv_head, position) + d, load_16(a.k.at(b, kv_head, t) + d));
      store_16(a.values.at(b, kv_head, position) + d, load_16(a.v.at(b, kv_head, t) + d));
    }
  }
  __syncthreads();

  const Scores scores(shape.scale, shape.softcap);
  DecodingWarp<kD> mine{.shape = shape, .q = {}, .position = {}, .state = {}};
  TPLAB_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int row = first_row + lane / 4 + 8 * half, t = row / shape.group;
    mine.position[half] = past + t;
    if (row < all_rows)
      mine.q[half] = a.q.at(b, kv_head * shape.group + row % shape.group, t) + 8 * (lane % 4);
  }
  const bf16 *const keys = a.keys.at(b, kv_head, 0), *const values = a.values.at(b, kv_head, 0);
  for (int key = begin + warp * kFragmentKeys; key < end; key += kPartKeys)
    mine.step(a, keys, values, key, end, scores);

  // The warps' parts, side by side.
  using Shared = DecodeShared<kD>;
  float* const states = dynamic_shared<float>();    // [warps, 16, 2]
  float* const weights = states + Shared::kStates;  // of parts that are joined
  float* const joined = weights + kMostJoined;      // [16, 2]
  float* const sums = joined + kFragmentRows * 2;   // [warps, 16, kD]
  TPLAB_UNROLL
  for (int half = 0; half < 2; ++half) {
    float sum = mine.state[half].sum;
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    const int row = warp * kFragmentRows + lane / 4 + 8 * half;
    if (lane % 4 == 0) {
      states[2 * row] = mine.state[half].largest;
      states[2 * row + 1] = sum;
    }
    TPLAB_UNROLL
    for (int n = 0; n < kD / 8; ++n) TPLAB_UNROLL
    for (int e = 0; e < 2; ++e)
      sums[row * kD + n / 8 * 64 + 8 * (lane % 4 * 2 + e) + n % 8] = mine.y[n][2 * half + e];
  }
  if (__any_sync(kAllLanes, mine.has_zeroed)) {  // who sees one gets NaN
    __syncwarp();
    for (int i = lane; i < rows * shape.D; i += kWarp) {
      const int row = i / shape.D, column = i % shape.D;
      if (sees_unfinite(shape, past + (first_row + row) / shape.group, begin, end, values + column,
                        a.values.of_position))
        sums[(warp * kFragmentRows + row) * kD + column] = INFINITY - INFINITY;
    }
  }
  __syncthreads();

  join_rows(scores, states, kFragmentRows * 2, rows, kDecodeWarps, weights, joined);
  __syncthreads();

  const auto write = [&](int row, int d, float sum) {
    const int r = first_row + row, h = kv_head * shape.group + r % shape.group;
    const RowEnd end_of_row = scores.end_of_row(joined[2 * row], joined[2 * row + 1],
                                                shape.sinks ? shape.sinks + h : nullptr);
    a.y.at(b, h, r / shape.group)[d] = to_bf16(sum * end_of_row.factor);
  };
  const int64_t tile = int64_t{b} * gridDim.y + blockIdx.y;
  float* const all_states = a.states + tile * a.parts * kFragmentRows * 2;
  float* const all_sums = a.sums + tile * a.parts * kFragmentRows * shape.D;
  for (int i = thread; i < rows * shape.D; i += kDecodeThreads) {
    const int row = i / shape.D, d = i % shape.D;
    const float sum = joined_sum(sums + row * kD + d, kFragmentRows * kD, kDecodeWarps,
                                 weights + row * kDecodeWarps);
    if (parts == 1) {
      write(row, d, sum);
    } else {
      all_sums[(part * kFragmentRows + row) * shape.D + d] = sum;
    }
  }
  if (parts == 1) return;
  if (thread < 2 * rows) all_states[part * kFragmentRows * 2 + thread] = joined[thread];

  // Whoever comes last finds all parts in memory.
  TPLAB_SHARED(int, before, [1]);
  __threadfence();
  __syncthreads();
  if (thread == 0) before[0] = atomicAdd(a.arrived + tile, 1);
  __syncthreads();
  if (before[0] != parts - 1) return;
  __threadfence();
  if (thread == 0) a.arrived[tile] = 0;
  join_rows(scores, all_states, kFragmentRows * 2, rows, parts, weights, joined);
  __syncthreads();
  for (int i = thread; i < rows * shape.D; i += kDecodeThreads) {
    const int row = i / shape.D, d = i % shape.D;
    write(row, d,
          joined_sum(all_sums + row * shape.D + d, int64_t{kFragmentRows} * shape.D, parts,
                     weights + row * parts));
  }
}

template <int kD>
void decode_up_to(void* stream, const Decode& a, unsigned tiles) {
  const unsigned B = static_cast<unsigned>(a.shape.B);
  launch(stream,
         {"decode_part", dim3(static_cast<unsigned>(a.parts), tiles / B, B), dim3(kDecodeThreads),
          DecodeShared<kD>::kBytes},
         decode_part<kD>, a);
}

void decode(void* stream, const Decode& a, unsigned tiles) {
  if (a.shape.D <= 64) return decode_up_to<64>(stream, a, tiles);
  if (a.shape.D <= 128) return decode_up_to<128>(stream, a, tiles);
  decode_up_to<256>(stream, a, tiles);
}

}  // namespace

// Made with the device, for they are zeros before a step is captured, too.
std::shared_ptr<int32_t> CudaDevice::make_arrivals() {
  const int64_t bytes = runtime_->rounded(kWantedBlocks * sizeof(int32_t));
  void* const data = runtime_->take(bytes);
  if (!data)
    fail_unavailable("no memory for what every rank needs, a few KiB",
                     std::string(runtime_->way_out()));
  runtime_->set(data, 0, bytes);
  return {static_cast<int32_t*>(data),
          [runtime = runtime_, bytes](int32_t* p) { runtime->give_back(p, bytes); }};
}

void CudaDevice::compute(const op::CachedAttention& o) {
  dispatch(o.qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const Shape& cache = o.keys.shape();
    const int64_t B = cache[0], K = cache[1], S = cache[2], D = cache[3];
    const int64_t T = o.qkv.shape()[1], H = o.form.heads, heads = H + 2 * K;
    AttentionShape<Real> shape = attention_shape<Real>(o.form, o.qkv, o.sinks);
    if (o.past.filled.present()) shape.filled = o.past.filled.template as<int32_t>();
    const Real* const qkv = o.qkv.template as<Real>();
    const HeadRows<const Real> q = rows_of_heads(qkv, 0, T, heads, D);
    const HeadRows<const Real> k = rows_of_heads(qkv, H, T, heads, D);
    const HeadRows<const Real> v = rows_of_heads(qkv, H + K, T, heads, D);
    const HeadRows<Real> keys{o.keys.template as<Real>(), K * S * D, S * D, D};
    const HeadRows<Real> values{o.values.template as<Real>(), K * S * D, S * D, D};
    const HeadRows<Real> y = rows_of_heads(o.y.template as<Real>(), 0, T, H, D);
    if constexpr (std::is_same_v<Real, bf16>) {
      const int64_t rows = shape.group * T,
                    tiles = (rows + kFragmentRows - 1) / kFragmentRows * K * B;
      if (rows <= kMostDecodeRows && D <= kMostOnTensorCores && is_packed(q) && is_packed(k) &&
          is_packed(v) && is_packed(keys) && is_packed(values)) {
        const int64_t wanted = std::min<int64_t>(
            kWantedBlocks / tiles, kMostJoined / std::min<int64_t>(rows, kFragmentRows));
        const int64_t parts =
            std::max<int64_t>(1, std::min(wanted, (S + kPartKeys - 1) / kPartKeys));
        const auto [kept, numbers] = scratch<float>(tiles * parts * kFragmentRows * (D + 2));
        const Decode a{.shape = shape,
                       .q = q,
                       .k = k,
                       .v = v,
                       .keys = keys,
                       .values = values,
                       .y = y,
                       .parts = static_cast<int>(parts),
                       .sums = numbers,
                       .states = numbers + tiles * parts * kFragmentRows * D,
                       .arrived = arrivals_.get()};
        return decode(stream(), a, static_cast<unsigned>(tiles));
      }
    }
    launch(stream(),
           {"store_new_keys",
            dim3(static_cast<unsigned>(T), static_cast<unsigned>(K), static_cast<unsigned>(B)),
            dim3(kDecodeThreads)},
           store_new_keys<Real>, shape, k, v, keys, values);
    attend(stream(), Attend<Real>{.shape = shape,
                                  .q = q,
                                  .k = constant(keys),
                                  .v = constant(values),
                                  .y = y,
                                  .stats = nullptr,
                                  .drops = false});
  });
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
