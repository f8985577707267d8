// Rows of a table by their ids.
#include "sim/cuda/cuda_device.h"
#include "sim/cuda/numbers.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

// A block an id.
template <class Real, int kWidth>
__global__ void embedding(const int32_t* ids, const Real* table, int64_t first_row, int64_t rows,
                          Real* y, int64_t C) {
  const int64_t i = blockIdx.x, row = ids[i] - first_row;
  const bool here = row >= 0 && row < rows;
  for_my_packs<kWidth>(C, [&](int64_t c) {
    Pack<Real, kWidth> pack{};
    if (here) pack = load_pack<kWidth>(table + row * C + c);
    store_pack(y + i * C + c, pack);
  });
}

// first[row] = where it is asked for first. REQUIRES: larger numbers in it.
__global__ void find_first(const int32_t* ids, int64_t count, int64_t first_row, int64_t rows,
                           int32_t* first) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int64_t row = ids[i] - first_row;
  if (row >= 0 && row < rows) atomicMin(first + row, static_cast<int32_t>(i));
}

// The block of a row's first place adds up the row's gradient, over all its places in their order:
// the same bits however blocks run, with no atomic addition.
template <class Real, int kWidth>
__global__ void embedding_backward(const int32_t* ids, int64_t count, const Real* dy,
                                   int64_t first_row, int64_t rows, const int32_t* first,
                                   Computed<Real>* dtable, int64_t C) {
  TPLAB_SHARED(unsigned, found, [kThreads / kWarp]);
  const int64_t i = blockIdx.x, row = ids[i] - first_row;
  if (row < 0 || row >= rows || first[row] != i) return;
  const int id = ids[i];
  dtable += row * C;
  for (int64_t begin = i; begin < count; begin += blockDim.x) {
    const int64_t mine = begin + threadIdx.x;
    const unsigned ballot = __ballot_sync(kAllLanes, mine < count && ids[mine] == id);
    __syncthreads();  // the last ones have been read
    if (threadIdx.x % kWarp == 0) found[threadIdx.x / kWarp] = ballot;
    __syncthreads();
    for (unsigned w = 0; w < blockDim.x / kWarp; ++w) {
      for (unsigned places = found[w]; places != 0; places &= places - 1) {
        const int64_t place = begin + w * kWarp + __ffs(static_cast<int>(places)) - 1;
        for_my_packs<kWidth>(C, [&](int64_t c) {
          const auto pack = load_pack<kWidth>(dy + place * C + c);
          for (int j = 0; j < kWidth; ++j) dtable[c + j] += pack.value[j];
        });
      }
    }
  }
}

}  // namespace

void CudaDevice::compute(const op::Embedding& o) {
  const int64_t count = o.ids.count(), rows = o.table.shape()[0], C = o.table.shape()[-1];
  dispatch(o.y.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    with_width<Real>(are_packs<Real>(C, {o.table.data(), o.y.data()}), [&](auto width) {
      constexpr int kW = decltype(width)::value;
      launch(stream(), {"embedding", static_cast<unsigned>(count), threads_for_row<kW>(C)},
             embedding<Real, kW>, o.ids.as<int32_t>(), o.table.as<Real>(), o.first_row, rows,
             o.y.as<Real>(), C);
    });
  });
}

void CudaDevice::compute(const op::EmbeddingBackward& o) {
  constexpr int kLate = 0x7f;  // in every byte: later than any place
  const int64_t count = o.ids.count(), rows = o.dtable.shape()[0], C = o.dtable.shape()[-1];
  const auto [kept, first] = scratch<int32_t>(rows);
  int32_t* const of_row = first;
  runtime_->set(of_row, kLate, rows * static_cast<int64_t>(sizeof(int32_t)));
  launch(stream(), {"find_first", blocks_for(count, kThreads), kThreads}, find_first,
         o.ids.as<int32_t>(), count, o.first_row, rows, of_row);
  dispatch(o.dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    with_width<Real>(are_packs<Real>(C, {o.dy.data()}), [&](auto width) {
      constexpr int kW = decltype(width)::value;
      launch(stream(), {"embedding_backward", static_cast<unsigned>(count), threads_for_row<kW>(C)},
             embedding_backward<Real, kW>, o.ids.as<int32_t>(), count, o.dy.as<Real>(), o.first_row,
             rows, of_row, o.dtable.as<Computed<Real>>(), C);
    });
  });
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
