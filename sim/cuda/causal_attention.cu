// Causal attention over whole sequences, and its gradient, for training.
#include <cmath>

#include "sim/cuda/attention_rows.h"
#include "sim/cuda/cuda_device.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

// What attention and its gradient read: a head of a sequence is a block's, with one position.
template <class Real>
struct CausalHeads {
  using Sum = Computed<Real>;
  const Real* qkv;  // [B, T, 3 H D]
  int64_t T, H, D;
  Sum scale;
  bool dropped;
  DropoutNumbers<Sum> dropout;
  int64_t first_sequence, first_head, whole_heads, whole_length;

  CausalHeads(const Array& all, int64_t heads, const std::optional<DropoutMask>& mask)
      : qkv(all.as<Real>()),
        T(all.shape()[1]),
        H(heads),
        D(all.shape()[2] / (3 * heads)),
        scale(static_cast<Sum>(1 / std::sqrt(static_cast<double>(D)))),
        dropped(mask.has_value()),
        dropout(mask.value_or(DropoutMask{.stream = RandomStream(0, "none")})),
        first_sequence(mask ? mask->first_sequence : 0),
        first_head(mask ? mask->first_head : 0),
        whole_heads(mask ? mask->whole_heads : 0),
        whole_length(mask ? mask->whole_length : 0) {}

  __device__ int64_t width() const { return H * D; }
  // q of a position; k and v lie width() and 2 width() behind.
  __device__ int64_t at(int64_t b, int64_t h, int64_t t) const {
    return (b * T + t) * 3 * width() + h * D;
  }
  __device__ int64_t y_at(int64_t b, int64_t h, int64_t t) const {
    return (b * T + t) * width() + h * D;
  }
  // Of the mask: probability (b, h, t, 0).
  __device__ int64_t first_number(int64_t b, int64_t h, int64_t t) const {
    return (((first_sequence + b) * whole_heads + first_head + h) * whole_length + t) *
           whole_length;
  }
};

// grid: [T, H, B]
template <class Real>
__global__ void causal_attention(CausalHeads<Real> a, Real* y, Computed<Real>* log_sums) {
  const int64_t t = blockIdx.x, h = blockIdx.y, b = blockIdx.z;
  const Real* const keys = a.qkv + a.at(b, h, 0) + a.width();
  const auto log_sum = attend_row(AttentionRow<Real>{.q = a.qkv + a.at(b, h, t),
                                                     .keys = keys,
                                                     .values = keys + a.width(),
                                                     .n = t + 1,
                                                     .D = a.D,
                                                     .pitch = 3 * a.width(),
                                                     .scale = a.scale,
                                                     .y = y + a.y_at(b, h, t),
                                                     .dropout = a.dropped ? &a.dropout : nullptr,
                                                     .first_number = a.first_number(b, h, t)});
  if (threadIdx.x == 0) log_sums[(b * a.H + h) * a.T + t] = log_sum;
}

template <class Real>
struct CausalGradient {
  const Real* y;
  const Computed<Real>* log_sums;
  const Real* dy;
  Real* dqkv;
  Computed<Real>* rows;  // [B, H, T, 2]: a query's largest score, and dy · y
};

// Probability of key s for query t, without dropout: exp((score - largest) scale - log_sum).
template <class Sum>
__device__ Sum probability(Sum score, Sum largest, Sum scale, Sum log_sum) {
  return std::exp(std::fma(score - largest, scale, -log_sum));
}

// dq of a query, and what the keys want to know of it.   grid: [T, H, B]
template <class Real>
__global__ void causal_attention_dq(CausalHeads<Real> a, CausalGradient<Real> g) {
  using Sum = Computed<Real>;
  TPLAB_SHARED(Sum, weights, [kKeysAtOnce]);
  Sum* const dq = dynamic_shared<Sum>();
  const int64_t t = blockIdx.x, h = blockIdx.y, b = blockIdx.z, pitch = 3 * a.width();
  const Real *const q = a.qkv + a.at(b, h, t), *const dy = g.dy + a.y_at(b, h, t);
  const Real *const keys = a.qkv + a.at(b, h, 0) + a.width(), *const values = keys + a.width();
  const int64_t row = (b * a.H + h) * a.T + t;
  Sum largest = -std::numeric_limits<Sum>::infinity();
  for (int64_t s = threadIdx.x; s <= t; s += kKeysAtOnce)
    largest = Largest()(largest, dot_of<Sum>(q, keys + s * pitch, a.D));
  largest = block_max(largest);
  Sum dy_y = 0;
  for (int64_t d = threadIdx.x; d < a.D; d += kKeysAtOnce) {
    dq[d] = 0;
    dy_y += static_cast<Sum>(dy[d]) * static_cast<Sum>(g.y[a.y_at(b, h, t) + d]);
  }
  dy_y = block_sum(dy_y);
  for (int64_t begin = 0; begin <= t; begin += kKeysAtOnce) {
    const int64_t s = begin + threadIdx.x, here = std::min<int64_t>(kKeysAtOnce, t + 1 - begin);
    Sum ds = 0;
    if (s <= t) {
      const Sum p =
          probability(dot_of<Sum>(q, keys + s * pitch, a.D), largest, a.scale, g.log_sums[row]);
      Sum dp = dot_of<Sum>(dy, values + s * pitch, a.D);
      if (a.dropped) dp *= a.dropout.factor(a.first_number(b, h, t) + s);
      ds = p * a.scale * (dp - dy_y);
    }
    weights[threadIdx.x] = ds;
    __syncthreads();
    for (int64_t d = threadIdx.x; d < a.D; d += kKeysAtOnce) {
      Sum sum = dq[d];
      for (int64_t j = 0; j < here; ++j)
        sum += weights[j] * static_cast<Sum>(keys[(begin + j) * pitch + d]);
      dq[d] = sum;
    }
    __syncthreads();
  }
  for (int64_t d = threadIdx.x; d < a.D; d += kKeysAtOnce)
    g.dqkv[a.at(b, h, t) + d] = converted<Real>(dq[d]);
  if (threadIdx.x == 0) {
    g.rows[2 * row] = largest;
    g.rows[2 * row + 1] = dy_y;
  }
}

// dk and dv of a key: the queries that see it, kKeysAtOnce at a time.   grid: [T, H, B]
template <class Real>
__global__ void causal_attention_dkv(CausalHeads<Real> a, CausalGradient<Real> g) {
  using Sum = Computed<Real>;
  TPLAB_SHARED(Sum, weights, [2][kKeysAtOnce]);  // ds, and p with dropout
  Sum *const dk = dynamic_shared<Sum>(), *const dv = dk + a.D;
  const int64_t s = blockIdx.x, h = blockIdx.y, b = blockIdx.z;
  const Real *const k = a.qkv + a.at(b, h, s) + a.width(), *const v = k + a.width();
  for (int64_t d = threadIdx.x; d < a.D; d += kKeysAtOnce) dk[d] = dv[d] = 0;
  for (int64_t begin = s; begin < a.T; begin += kKeysAtOnce) {
    const int64_t t = begin + threadIdx.x, here = std::min<int64_t>(kKeysAtOnce, a.T - begin);
    Sum ds = 0, p = 0;
    if (t < a.T) {
      const int64_t row = (b * a.H + h) * a.T + t;
      const Sum factor = a.dropped ? a.dropout.factor(a.first_number(b, h, t) + s) : Sum(1);
      p = probability(dot_of<Sum>(a.qkv + a.at(b, h, t), k, a.D), g.rows[2 * row], a.scale,
                      g.log_sums[row]);
      const Sum dp = dot_of<Sum>(g.dy + a.y_at(b, h, t), v, a.D) * factor;
      ds = p * a.scale * (dp - g.rows[2 * row + 1]);
      p *= factor;
    }
    weights[0][threadIdx.x] = ds;
    weights[1][threadIdx.x] = p;
    __syncthreads();
    for (int64_t d = threadIdx.x; d < a.D; d += kKeysAtOnce) {
      for (int64_t j = 0; j < here; ++j) {
        dk[d] += weights[0][j] * static_cast<Sum>(a.qkv[a.at(b, h, begin + j) + d]);
        dv[d] += weights[1][j] * static_cast<Sum>(g.dy[a.y_at(b, h, begin + j) + d]);
      }
    }
    __syncthreads();
  }
  Real *const to_k = g.dqkv + a.at(b, h, s) + a.width(), *const to_v = to_k + a.width();
  for (int64_t d = threadIdx.x; d < a.D; d += kKeysAtOnce) {
    to_k[d] = converted<Real>(dk[d]);
    to_v[d] = converted<Real>(dv[d]);
  }
}

template <class Real>
dim3 positions_of(const CausalHeads<Real>& a, const Array& y) {
  return {static_cast<unsigned>(a.T), static_cast<unsigned>(a.H),
          static_cast<unsigned>(y.shape()[0])};
}

}  // namespace

void CudaDevice::compute(const op::CausalAttention& o) {
  dispatch(o.qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    using Sum = Computed<Real>;
    const CausalHeads<Real> a(o.qkv, o.heads, o.mask);
    launch(stream(),
           {"causal_attention", positions_of(a, o.y), kKeysAtOnce,
            static_cast<size_t>(a.D) * sizeof(Sum)},
           causal_attention<Real>, a, o.y.as<Real>(), o.log_sums.as<Sum>());
  });
}

void CudaDevice::compute(const op::CausalAttentionBackward& o) {
  dispatch(o.qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    using Sum = Computed<Real>;
    const CausalHeads<Real> a(o.qkv, o.heads, o.mask);
    const auto [kept, rows] = scratch<Sum>(2 * o.log_sums.count());
    const CausalGradient<Real> g{.y = o.y.as<Real>(),
                                 .log_sums = o.log_sums.as<Sum>(),
                                 .dy = o.dy.as<Real>(),
                                 .dqkv = o.dqkv.as<Real>(),
                                 .rows = rows};
    const size_t sums_bytes = static_cast<size_t>(a.D) * sizeof(Sum);
    launch(stream(), {"causal_attention_dq", positions_of(a, o.y), kKeysAtOnce, sums_bytes},
           causal_attention_dq<Real>, a, g);
    launch(stream(), {"causal_attention_dkv", positions_of(a, o.y), kKeysAtOnce, 2 * sums_bytes},
           causal_attention_dkv<Real>, a, g);
  });
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
