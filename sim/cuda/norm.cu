// Norms over rows, and their gradients: a block a row.
#include <algorithm>
#include <cmath>

#include "sim/cuda/column_sums.h"
#include "sim/cuda/cuda_device.h"
#include "sim/cuda/norm_row.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

template <bool kCentred, class Real, int kWidth>
__global__ void norm_rows(const Real* x, const Real* weight, const Real* bias, Real* y, int64_t C,
                          Computed<Real> eps, Computed<Real> plus) {
  normalise_row<kCentred, kWidth>(x + blockIdx.x * C, weight, bias, y + blockIdx.x * C, C, eps,
                                  plus);
}

template <class Real>
struct NormGradient {
  const Real *x, *weight, *dy;
  Real* dx;
  Computed<Real>* sums;  // [pieces, 2, C]: a piece's terms of dweight and dbias
  int64_t rows, each, C;
  Computed<Real> eps, plus;
  bool sums_are_shared;  // while they are added up they lie in shared memory
};

// A block has a piece of rows, one behind the other. Its columns' sums are each a thread's own.
template <bool kCentred, class Real, int kWidth>
__global__ void norm_rows_backward(NormGradient<Real> a) {
  using Sum = Computed<Real>;
  const int64_t C = a.C, begin = blockIdx.x * a.each, end = std::min(a.rows, begin + a.each);
  Sum* const of_piece = a.sums + blockIdx.x * 2 * C;
  Sum *const dweight = a.sums_are_shared ? dynamic_shared<Sum>() : of_piece, *const dbias =
                                                                                 dweight + C;
  for_my_packs<kWidth>(C, [&](int64_t c) {
    for (int j = 0; j < kWidth; ++j) dweight[c + j] = dbias[c + j] = 0;
  });
  for (int64_t r = begin; r < end; ++r) {
    const Real *const x = a.x + r * C, *const dy = a.dy + r * C;
    const Sum n = static_cast<Sum>(C);
    Sum mean = 0;
    if constexpr (kCentred) mean = mean_of<kWidth>(x, C);
    Sum sums[3] = {};  // of d², g, g d where d = x - mean, g = dy weight
    for_my_packs<kWidth>(C, [&](int64_t c) {
      const auto at = load_pack<kWidth>(x + c), w = load_pack<kWidth>(a.weight + c),
                 slope = load_pack<kWidth>(dy + c);
      for (int j = 0; j < kWidth; ++j) {
        const Sum d = at.value[j] - mean, g = slope.value[j] * (w.value[j] + a.plus);
        sums[0] += d * d;
        sums[1] += g;
        sums[2] += g * d;
      }
    });
    over_block(sums, Plus());
    const Sum scale = Sum(1) / std::sqrt(sums[0] / n + a.eps);
    const Sum less = kCentred ? sums[1] / n : Sum(0), along = sums[2] / n * scale * scale;
    for_my_packs<kWidth>(C, [&](int64_t c) {
      const auto at = load_pack<kWidth>(x + c), w = load_pack<kWidth>(a.weight + c);
      auto slope = load_pack<kWidth>(dy + c);
      for (int j = 0; j < kWidth; ++j) {
        const Sum d = at.value[j] - mean, g = slope.value[j];
        dweight[c + j] += d * scale * g;
        dbias[c + j] += g;
        slope.value[j] = (g * (w.value[j] + a.plus) - less - d * along) * scale;
      }
      store_pack(a.dx + r * C + c, slope);
    });
  }
  if (!a.sums_are_shared) return;
  for_my_packs<kWidth>(C, [&](int64_t c) {
    for (int j = 0; j < kWidth; ++j) {
      of_piece[c + j] = dweight[c + j];
      of_piece[C + c + j] = dbias[c + j];
    }
  });
}

// What a layer norm and an RMS norm are launched with.
struct NormArrays {
  const Array &x, &weight, &bias, &y;
  double eps;
  bool plus_one;
};
template <bool kCentred>
void launch_norm(void* stream, const char* kernel, const NormArrays& o) {
  const int64_t rows = o.x.shape().rows(), C = o.x.shape()[-1];
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    using Sum = Computed<Real>;
    const bool packed =
        are_packs<Real>(C, {o.x.data(), o.weight.data(), o.bias.data(), o.y.data()});
    with_width<Real>(packed, [&](auto width) {
      constexpr int kW = decltype(width)::value;
      launch(stream, {kernel, static_cast<unsigned>(rows), threads_of_norm<kW>(rows, C)},
             norm_rows<kCentred, Real, kW>, o.x.as<Real>(), o.weight.as<Real>(),
             static_cast<const Real*>(o.bias.data()), o.y.as<Real>(), C, static_cast<Sum>(o.eps),
             static_cast<Sum>(o.plus_one ? 1 : 0));
    });
  });
}

struct NormGradientArrays {
  const Array &x, &weight, &dy, &dx, &dweight, &dbias;
  double eps;
  bool plus_one;
};
// sums: [pieces, 2, C] of the accumulator's type
template <bool kCentred, class Real>
void launch_norm_backward(void* stream, const char* kernel, const NormGradientArrays& o,
                          Computed<Real>* sums) {
  using Sum = Computed<Real>;
  constexpr int64_t kShared = 48 << 10;
  const int64_t rows = o.x.shape().rows(), C = o.x.shape()[-1], pieces = pieces_of(rows);
  const int64_t sums_bytes = 2 * C * static_cast<int64_t>(sizeof(Sum));
  const NormGradient<Real> a{.x = o.x.as<Real>(),
                             .weight = o.weight.as<Real>(),
                             .dy = o.dy.as<Real>(),
                             .dx = o.dx.as<Real>(),
                             .sums = sums,
                             .rows = rows,
                             .each = rows_of_piece(rows),
                             .C = C,
                             .eps = static_cast<Sum>(o.eps),
                             .plus = static_cast<Sum>(o.plus_one ? 1 : 0),
                             .sums_are_shared = sums_bytes <= kShared};
  with_width<Real>(are_packs<Real>(C, {a.x, a.weight, a.dy, a.dx}), [&](auto width) {
    constexpr int kW = decltype(width)::value;
    launch(stream,
           {kernel, static_cast<unsigned>(pieces), threads_for_row<kW>(C),
            a.sums_are_shared ? static_cast<size_t>(sums_bytes) : 0},
           norm_rows_backward<kCentred, Real, kW>, a);
  });
  add_all_pieces<Sum>(stream, sums, pieces, 2 * C, o.dweight.as<Sum>(), C);
  if (o.dbias.present()) add_all_pieces<Sum>(stream, sums + C, pieces, 2 * C, o.dbias.as<Sum>(), C);
}

}  // namespace

void CudaDevice::compute(const op::LayerNorm& o) {
  launch_norm<true>(stream(), "layer_norm", {o.x, o.weight, o.bias, o.y, o.eps, false});
}

void CudaDevice::compute(const op::RmsNorm& o) {
  launch_norm<false>(stream(), "rms_norm", {o.x, o.weight, {}, o.y, o.eps, o.plus_one});
}

void CudaDevice::compute(const op::LayerNormBackward& o) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const auto [kept, sums] =
        scratch<Computed<Real>>(pieces_of(o.x.shape().rows()) * 2 * o.x.shape()[-1]);
    launch_norm_backward<true, Real>(stream(), "layer_norm_backward",
                                     {o.x, o.weight, o.dy, o.dx, o.dweight, o.dbias, o.eps, false},
                                     sums);
  });
}

void CudaDevice::compute(const op::RmsNormBackward& o) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const auto [kept, sums] =
        scratch<Computed<Real>>(pieces_of(o.x.shape().rows()) * 2 * o.x.shape()[-1]);
    launch_norm_backward<false, Real>(stream(), "rms_norm_backward",
                                      {o.x, o.weight, o.dy, o.dx, o.dweight, {}, o.eps, o.plus_one},
                                      sums);
  });
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
