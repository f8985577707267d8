// Attention without tensor cores: f32, f64, and bf16 whose rows do not fit the kernels that have
// them. A block has one query, or of the gradients of keys and values one key, and goes over what
// it sees, or is seen by, kAtOnce at a time: a thread each for the scores, then a thread for some
// of the D columns. Simple rather than fast, and no array of queries times keys is in memory.
#include <cmath>

#include "sim/cuda/causal_attention.h"
#include "sim/cuda/causal_attention_backward.h"
#include "sim/cuda/reduce.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

constexpr int kAtOnce = 128;  // threads, too

template <class Real>
__device__ __forceinline__ Computed<Real> number_of(Real x) {
  if constexpr (std::is_same_v<Real, bf16>) {
    return low_of(x.bits);
  } else {
    return x;
  }
}

// a · b
template <class Real>
__device__ __forceinline__ Computed<Real> dot_product(const Real* a, const Real* b, int D) {
  Computed<Real> sum = 0;
  for (int d = 0; d < D; ++d) sum += number_of(a[d]) * number_of(b[d]);
  return sum;
}

// The u of op::CausalAttention, and its a.
template <class Real>
struct PlainScores {
  using Sum = Computed<Real>;
  Sum scale, cap, a;
  __device__ explicit PlainScores(const AttentionShape<Real>& shape)
      : scale(shape.scale), cap(shape.softcap), a(cap > 0 ? Sum(1) : scale) {}
  __device__ Sum score(Sum product) const {
    return cap > 0 ? cap * std::tanh(scale * product / cap) : product;
  }
  __device__ Sum slope(Sum u) const { return cap > 0 ? 1 - u / cap * (u / cap) : Sum(1); }
};

template <class Real>
__device__ Computed<Real> dropout_factor(const AttentionShape<Real>& shape, bool drops, int b,
                                         int h, int query, int key) {
  if (!drops) return 1;
  return shape.dropped.keeps(shape.dropped.first_of(b, h, query) + key)
             ? static_cast<Computed<Real>>(shape.dropped.numbers.kept)
             : Computed<Real>(0);
}

// grid: [T, H, B], D numbers of shared memory. source: Milakov and Gimelshein 2018 (the sums are
// scaled anew where a larger score comes)
template <class Real>
__global__ void attend_row(Attend<Real> a) {
  using Sum = Computed<Real>;
  TPLAB_SHARED(Sum, weights, [kAtOnce]);
  Sum* const sums = dynamic_shared<Sum>();
  const AttentionShape<Real>& shape = a.shape;
  const int t = static_cast<int>(blockIdx.x), h = static_cast<int>(blockIdx.y);
  const int b = static_cast<int>(blockIdx.z), thread = static_cast<int>(threadIdx.x);
  const int query = shape.past(b) + t, kv_head = h / shape.group, D = shape.D;
  const Real *const q = a.q.at(b, h, t), *const v = a.v.at(b, kv_head, 0);
  const PlainScores<Real> scores(shape);
  Sum largest = -INFINITY, total = 0;
  for (int d = thread; d < D; d += kAtOnce) sums[d] = 0;
  for (int first = shape.first_seen(query); first <= query; first += kAtOnce) {
    const int key = first + thread, here = std::min(int{kAtOnce}, query + 1 - first);
    const bool seen = thread < here;
    Sum u = -INFINITY;
    if (seen) u = scores.score(dot_product(q, a.k.at(b, kv_head, key), D));
    const Sum before = largest;
    largest = Largest()(before, block_max(u));
    const Sum shrink = total == 0 ? Sum(0) : std::exp((before - largest) * scores.a);
    const Sum weight = seen ? std::exp((u - largest) * scores.a) : Sum(0);
    total = total * shrink + block_sum(weight);
    weights[thread] = seen ? weight * dropout_factor(shape, a.drops, b, h, query, key) : Sum(0);
    __syncthreads();
    for (int d = thread; d < D; d += kAtOnce) {
      Sum sum = sums[d] * shrink;
      for (int j = 0; j < here; ++j)
        sum += weights[j] * number_of(v[(first + j) * a.v.of_position + d]);
      sums[d] = sum;
    }
    __syncthreads();
  }
  // The sink's term, compared to the largest as scores are: what is less has a power at most 1.
  Sum factor = 1 / total, log_sum = std::log(total);
  if (shape.sinks) {
    const Sum above = number_of(shape.sinks[h]) - scores.a * largest;
    const Sum down = above > 0 ? std::exp(-above) : Sum(1);
    const Sum all = total * down + (above > 0 ? Sum(1) : std::exp(above));
    factor = down / all;
    log_sum = std::log(all) + (above > 0 ? above : Sum(0));
  }
  Real* const y = a.y.at(b, h, t);
  for (int d = thread; d < D; d += kAtOnce) y[d] = converted<Real>(sums[d] * factor);
  if (a.stats && thread == 0) {
    Sum* const to = a.stats + 2 * ((int64_t{b} * shape.H + h) * shape.T + t);
    to[0] = largest;
    to[1] = log_sum;
  }
}

// What query t's gradients begin with, from its stats: p = exp(a (u - largest) - log_sum).
template <class Real>
__device__ Computed<Real> probability(const PlainScores<Real>& scores, const Computed<Real>* stats,
                                      Computed<Real> u) {
  return std::exp(std::fma(u - stats[0], scores.a, -stats[1]));
}

// dq of a query, and its Δ for the keys.   grid: [T, H, B], D numbers of shared memory
template <class Real>
__global__ void attend_backward_row(AttendBackward<Real> a) {
  using Sum = Computed<Real>;
  TPLAB_SHARED(Sum, weights, [kAtOnce]);
  Sum* const dq = dynamic_shared<Sum>();
  const AttentionShape<Real>& shape = a.shape;
  const int t = static_cast<int>(blockIdx.x), h = static_cast<int>(blockIdx.y);
  const int b = static_cast<int>(blockIdx.z), thread = static_cast<int>(threadIdx.x);
  const int kv_head = h / shape.group, D = shape.D;
  const int64_t row = (int64_t{b} * shape.H + h) * shape.T + t;
  const Real *const q = a.q.at(b, h, t), *const dy = a.dy.at(b, h, t), *const y = a.y.at(b, h, t);
  const Real* const k = a.k.at(b, kv_head, 0);
  const PlainScores<Real> scores(shape);
  Sum dy_y = 0;
  for (int d = thread; d < D; d += kAtOnce) {
    dq[d] = 0;
    dy_y += number_of(dy[d]) * number_of(y[d]);
  }
  dy_y = block_sum(dy_y);
  for (int first = shape.first_seen(t); first <= t; first += kAtOnce) {
    const int key = first + thread, here = std::min(int{kAtOnce}, t + 1 - first);
    Sum ds = 0;
    if (thread < here) {
      const Sum u = scores.score(dot_product(q, k + key * a.k.of_position, D));
      const Sum dp = dot_product(dy, a.v.at(b, kv_head, key), D) *
                     dropout_factor(shape, a.drops, b, h, t, key);
      ds = probability(scores, a.stats + 2 * row, u) * (dp - dy_y) * scores.slope(u) * scores.scale;
    }
    weights[thread] = ds;
    __syncthreads();
    for (int d = thread; d < D; d += kAtOnce) {
      Sum sum = dq[d];
      for (int j = 0; j < here; ++j)
        sum += weights[j] * number_of(k[(first + j) * a.k.of_position + d]);
      dq[d] = sum;
    }
    __syncthreads();
  }
  Real* const to = a.dq.at(b, h, t);
  for (int d = thread; d < D; d += kAtOnce) to[d] = converted<Real>(dq[d]);
  if (thread == 0) a.rows[row] = dy_y;
}

// dk and dv of a key, from the queries of its group's heads, one head after the other.
//   grid: [T, K, B], 2 D numbers of shared memory
template <class Real>
__global__ void attend_backward_key(AttendBackward<Real> a) {
  using Sum = Computed<Real>;
  TPLAB_SHARED(Sum, weights, [2][kAtOnce]);  // dS, and what is left of P
  const AttentionShape<Real>& shape = a.shape;
  const int key = static_cast<int>(blockIdx.x), kv_head = static_cast<int>(blockIdx.y);
  const int b = static_cast<int>(blockIdx.z), thread = static_cast<int>(threadIdx.x);
  const int D = shape.D;
  Sum *const dk = dynamic_shared<Sum>(), *const dv = dk + D;
  const Real *const k = a.k.at(b, kv_head, key), *const v = a.v.at(b, kv_head, key);
  const PlainScores<Real> scores(shape);
  const auto end = static_cast<int>(std::min<int64_t>(shape.T, int64_t{key} + shape.reach));
  for (int d = thread; d < D; d += kAtOnce) dk[d] = dv[d] = 0;
  for (int h = kv_head * shape.group; h < (kv_head + 1) * shape.group; ++h) {
    const Real *const q = a.q.at(b, h, 0), *const dy = a.dy.at(b, h, 0);
    for (int first = key; first < end; first += kAtOnce) {
      const int t = first + thread, here = std::min(int{kAtOnce}, end - first);
      Sum ds = 0, p = 0;
      if (thread < here) {
        const int64_t row = (int64_t{b} * shape.H + h) * shape.T + t;
        const Sum factor = dropout_factor(shape, a.drops, b, h, t, key);
        const Sum u = scores.score(dot_product(q + t * a.q.of_position, k, D));
        const Sum dp = dot_product(dy + t * a.dy.of_position, v, D) * factor;
        p = probability(scores, a.stats + 2 * row, u);
        ds = p * (dp - a.rows[row]) * scores.slope(u) * scores.scale;
        p *= factor;
      }
      weights[0][thread] = ds;
      weights[1][thread] = p;
      __syncthreads();
      for (int d = thread; d < D; d += kAtOnce) {
        Sum sum_k = dk[d], sum_v = dv[d];
        for (int j = 0; j < here; ++j) {
          sum_k += weights[0][j] * number_of(q[(first + j) * a.q.of_position + d]);
          sum_v += weights[1][j] * number_of(dy[(first + j) * a.dy.of_position + d]);
        }
        dk[d] = sum_k;
        dv[d] = sum_v;
      }
      __syncthreads();
    }
  }
  Real *const to_k = a.dk.at(b, kv_head, key), *const to_v = a.dv.at(b, kv_head, key);
  for (int d = thread; d < D; d += kAtOnce) {
    to_k[d] = converted<Real>(dk[d]);
    to_v[d] = converted<Real>(dv[d]);
  }
}

// dsinks[h] += Σ over b and t of -exp(sink - a m - L) Δ.   grid: [H]
template <class Real>
__global__ void attend_backward_sinks(AttendBackward<Real> a) {
  using Sum = Computed<Real>;
  const AttentionShape<Real>& shape = a.shape;
  const PlainScores<Real> scores(shape);
  const int h = static_cast<int>(blockIdx.x);
  Sum sum = 0;
  for (int b = 0; b < shape.B; ++b) {
    for (int t = static_cast<int>(threadIdx.x); t < shape.T; t += kAtOnce) {
      const int64_t row = (int64_t{b} * shape.H + h) * shape.T + t;
      const Sum* const stats = a.stats + 2 * row;
      sum -= std::exp(number_of(shape.sinks[h]) - scores.a * stats[0] - stats[1]) * a.rows[row];
    }
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) a.dsinks[h] += sum;
}

dim3 grid_of(int T, int heads, int B) {
  return {static_cast<unsigned>(T), static_cast<unsigned>(heads), static_cast<unsigned>(B)};
}

}  // namespace

template <class Real>
void attend_plainly(void* stream, const Attend<Real>& a) {
  const AttentionShape<Real>& s = a.shape;
  launch(stream,
         {"attend_row", grid_of(s.T, s.H, s.B), dim3(kAtOnce),
          static_cast<size_t>(s.D) * sizeof(Computed<Real>)},
         attend_row<Real>, a);
}

template <class Real>
void attend_backward_plainly(void* stream, const AttendBackward<Real>& a) {
  const AttentionShape<Real>& s = a.shape;
  const size_t row_bytes = static_cast<size_t>(s.D) * sizeof(Computed<Real>);
  launch(stream, {"attend_backward_row", grid_of(s.T, s.H, s.B), dim3(kAtOnce), row_bytes},
         attend_backward_row<Real>, a);
  launch(stream,
         {"attend_backward_key", grid_of(s.T, s.H / s.group, s.B), dim3(kAtOnce), 2 * row_bytes},
         attend_backward_key<Real>, a);
  if (a.dsinks)
    launch(stream, {"attend_backward_sinks", dim3(static_cast<unsigned>(s.H)), dim3(kAtOnce)},
           attend_backward_sinks<Real>, a);
}

template void attend_plainly(void*, const Attend<bf16>&);
template void attend_plainly(void*, const Attend<float>&);
template void attend_plainly(void*, const Attend<double>&);
template void attend_backward_plainly(void*, const AttendBackward<bf16>&);
template void attend_backward_plainly(void*, const AttendBackward<float>&);
template void attend_backward_plainly(void*, const AttendBackward<double>&);

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
