// Causal attention over a cache.
#include <cmath>

#include "sim/cuda/attention_rows.h"
#include "sim/cuda/cuda_device.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

template <class Real>
struct CachedHeads {
  const Real* qkv;      // [B, T, 3 H D]
  Real *keys, *values;  // [B, H, S, D], the first `past` positions filled
  Real* y;              // [B, T, H D]
  int64_t T, H, D, S, past;
  Computed<Real> scale;
};

// A new position of a head a block.   grid: [T, H, B]
template <class Real>
__global__ void store_new(CachedHeads<Real> a) {
  const int64_t t = blockIdx.x, h = blockIdx.y, b = blockIdx.z, width = a.H * a.D;
  const Real* const k = a.qkv + (b * a.T + t) * 3 * width + width + h * a.D;
  const int64_t to = ((b * a.H + h) * a.S + a.past + t) * a.D;
  for (int64_t d = threadIdx.x; d < a.D; d += blockDim.x) {
    a.keys[to + d] = k[d];
    a.values[to + d] = k[width + d];
  }
}

// A query of a head a block.   grid: [T, H, B]
template <class Real>
__global__ void cached_attention(CachedHeads<Real> a) {
  const int64_t t = blockIdx.x, h = blockIdx.y, b = blockIdx.z, width = a.H * a.D;
  const int64_t cache = (b * a.H + h) * a.S * a.D;
  attend_row(AttentionRow<Real>{.q = a.qkv + (b * a.T + t) * 3 * width + h * a.D,
                                .keys = a.keys + cache,
                                .values = a.values + cache,
                                .n = a.past + t + 1,
                                .D = a.D,
                                .pitch = a.D,
                                .scale = a.scale,
                                .y = a.y + (b * a.T + t) * width + h * a.D,
                                .dropout = nullptr,
                                .first_number = 0});
}

}  // namespace

void CudaDevice::compute(const op::CachedAttention& o) {
  const Shape& s = o.keys.shape();
  dispatch(o.qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    using Sum = Computed<Real>;
    const CachedHeads<Real> a{.qkv = o.qkv.as<Real>(),
                              .keys = o.keys.as<Real>(),
                              .values = o.values.as<Real>(),
                              .y = o.y.as<Real>(),
                              .T = o.qkv.shape()[1],
                              .H = s[1],
                              .D = s[3],
                              .S = s[2],
                              .past = o.past,
                              .scale = static_cast<Sum>(1 / std::sqrt(static_cast<double>(s[3])))};
    const dim3 queries(static_cast<unsigned>(a.T), static_cast<unsigned>(a.H),
                       static_cast<unsigned>(s[0]));
    launch(stream(), {"store_new", queries, threads_for_row<1>(a.D)}, store_new<Real>, a);
    launch(stream(),
           {"cached_attention", queries, kKeysAtOnce, static_cast<size_t>(a.D) * sizeof(Sum)},
           cached_attention<Real>, a);
  });
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
