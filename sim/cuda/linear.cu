// Products with weights, which are the runtime's, and what a bias' gradient is.
#include "sim/cuda/column_sums.h"
#include "sim/cuda/cuda_device.h"
#include "sim/cuda/few_rows.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

// sums[piece, c] = Σ over the piece's rows of dy[r, c]. A block has a piece of rows, and kThreads
// packs of columns.   grid: [pieces, columns]
template <class Real, int kWidth>
__global__ void sum_piece(const Real* dy, int64_t rows, int64_t each, int64_t N,
                          Computed<Real>* sums) {
  const int64_t c = kWidth * (int64_t{blockIdx.y} * blockDim.x + threadIdx.x);
  if (c >= N) return;
  const int64_t begin = blockIdx.x * each, end = std::min(rows, begin + each);
  Computed<Real> sum[kWidth] = {};
  for (int64_t r = begin; r < end; ++r) {
    const auto pack = load_pack<kWidth>(dy + r * N + c);
    for (int j = 0; j < kWidth; ++j) sum[j] += pack.value[j];
  }
  for (int j = 0; j < kWidth; ++j) sums[blockIdx.x * N + c + j] = sum[j];
}

}  // namespace

void CudaDevice::compute(const op::Linear& o) {
  if (has_few_rows(o)) return compute_joined(stream(), {.product = &o, .operations = 1});
  runtime_->multiply({.a = o.x.data(),
                      .b = o.w.data(),
                      .bias = o.bias.data(),
                      .y = o.y.data(),
                      .a_transposed = false,
                      .b_transposed = true,
                      .add = false,
                      .rows = o.x.shape().rows(),
                      .cols = o.w.shape()[0],
                      .depth = o.w.shape()[1],
                      .dtype = o.x.dtype(),
                      .y_dtype = o.y.dtype()});
}

// dx = dy W
void CudaDevice::compute(const op::LinearBackwardInput& o) {
  runtime_->multiply({.a = o.dy.data(),
                      .b = o.w.data(),
                      .bias = nullptr,
                      .y = o.dx.data(),
                      .a_transposed = false,
                      .b_transposed = false,
                      .add = false,
                      .rows = o.dy.shape().rows(),
                      .cols = o.w.shape()[1],
                      .depth = o.w.shape()[0],
                      .dtype = o.dy.dtype(),
                      .y_dtype = o.dx.dtype()});
}

// dW += dyᵀ x
void CudaDevice::compute(const op::LinearBackwardWeight& o) {
  runtime_->multiply({.a = o.dy.data(),
                      .b = o.x.data(),
                      .bias = nullptr,
                      .y = o.dw.data(),
                      .a_transposed = true,
                      .b_transposed = false,
                      .add = true,
                      .rows = o.dw.shape()[0],
                      .cols = o.dw.shape()[1],
                      .depth = o.dy.shape().rows(),
                      .dtype = o.dy.dtype(),
                      .y_dtype = o.dw.dtype()});
}

void CudaDevice::compute(const op::SumRows& o) {
  const int64_t rows = o.dy.shape().rows(), N = o.dy.shape()[-1], pieces = pieces_of(rows);
  dispatch(o.dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    using Sum = Computed<Real>;
    const auto [kept, sums] = scratch<Sum>(pieces * N);
    Sum* const of_pieces = sums;
    with_width<Real>(are_packs<Real>(N, {o.dy.data()}), [&](auto width) {
      constexpr int kW = decltype(width)::value;
      launch(stream(),
             {"sum_piece",
              {static_cast<unsigned>(pieces), blocks_for(N, int64_t{kThreads} * kW)},
              threads_for_row<kW>(N)},
             sum_piece<Real, kW>, o.dy.as<Real>(), rows, rows_of_piece(rows), N, of_pieces);
    });
    add_all_pieces(stream(), of_pieces, pieces, N, o.db.as<Sum>(), N);
  });
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
