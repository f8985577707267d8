// Rotary positions.
#include "sim/cuda/cuda_device.h"
#include "sim/cuda/numbers.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

template <class Real>
struct Turned {
  const Real* x;
  const Computed<Real>* table;
  Real* y;                // may be x
  const int32_t* filled;  // a sequence's first position; null: 0
  int64_t T, W, heads, D, R;
  Computed<Real> sign;  // of the sines: -1 where it is the inverse
};

// A position a block. A pair of packs is a thread's, R / 2 apart.
template <class Real, int kWidth>
__global__ void rotary(Turned<Real> a) {
  const int64_t r = blockIdx.x, half = a.R / 2, packs = half / kWidth;
  const Real* const x = a.x + r * a.W;
  Real* const y = a.y + r * a.W;
  const int64_t position = (a.filled ? a.filled[r / a.T] : 0) + r % a.T;
  const Computed<Real>*const cos = a.table + position * a.R, *const sin = cos + half;
  for (int64_t n = threadIdx.x; n < a.heads * packs; n += blockDim.x) {
    const int64_t i = n % packs * kWidth, at = n / packs * a.D + i;
    auto one = load_pack<kWidth>(x + at), other = load_pack<kWidth>(x + at + half);
    for (int j = 0; j < kWidth; ++j) {
      const auto u = one.value[j], v = other.value[j], c = cos[i + j], s = sin[i + j] * a.sign;
      one.value[j] = u * c - v * s;
      other.value[j] = v * c + u * s;
    }
    store_pack(y + at, one);
    store_pack(y + at + half, other);
  }
  if (x == y) return;
  for_my_packs<kWidth>(a.W, [&](int64_t c) {
    if (c < a.heads * a.D && c % a.D < a.R) return;
    store_pack(y + c, load_pack<kWidth>(x + c));
  });
}

}  // namespace

void CudaDevice::compute(const op::Rotary& o) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const Turned<Real> a{.x = o.x.as<Real>(),
                         .table = o.table.as<Computed<Real>>(),
                         .y = o.y.as<Real>(),
                         .filled = static_cast<const int32_t*>(o.past.filled.data()),
                         .T = o.x.shape()[1],
                         .W = o.x.shape()[2],
                         .heads = o.heads,
                         .D = o.head_size,
                         .R = o.table.shape()[1],
                         .sign = static_cast<Computed<Real>>(o.inverse ? -1 : 1)};
    const bool packed = are_packs<Real>(a.W, {a.x, a.y}) && are_packs<Real>(a.D, {}) &&
                        are_packs<Real>(a.R / 2, {});
    with_width<Real>(packed, [&](auto width) {
      constexpr int kW = decltype(width)::value;
      launch(stream(),
             {"rotary", static_cast<unsigned>(o.x.shape().rows()), threads_for_row<kW>(a.W)},
             rotary<Real, kW>, a);
    });
  });
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
