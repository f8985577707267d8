// Kernels that only a GPU needs: the host's product has its bias.
#include <algorithm>

#include "sim/cuda/gpu/gpu_runtime.h"
#include "sim/cuda/gpu/products.h"
#include "sim/cuda/language.h"

namespace tplab {

namespace {

__global__ void empty_kernel() {}

template <class Word>
__global__ void fill_rows_kernel(const Word* bias, Word* y, int64_t count, int64_t cols) {
  const int64_t step = int64_t{blockDim.x} * gridDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
    y[i] = bias[i % cols];
}

template <class Word>
void fill(void* stream, const void* bias, void* y, int64_t rows, int64_t cols) {
  constexpr int64_t kThreadsOfBlock = 256, kMostBlocks = 1 << 16;
  const int64_t count = rows * cols;
  const unsigned blocks =
      blocks_for(std::min(count, kThreadsOfBlock * kMostBlocks), kThreadsOfBlock);
  launch(stream, {"fill_rows", blocks, static_cast<unsigned>(kThreadsOfBlock)},
         fill_rows_kernel<Word>, static_cast<const Word*>(bias), static_cast<Word*>(y), count,
         cols);
}

}  // namespace

void fill_rows(void* stream, const void* bias, void* y, int64_t rows, int64_t cols, DType dtype) {
  switch (size_bytes(dtype)) {
    case 8:
      return fill<uint64_t>(stream, bias, y, rows, cols);
    case 4:
      return fill<uint32_t>(stream, bias, y, rows, cols);
    default:
      return fill<uint16_t>(stream, bias, y, rows, cols);
  }
}

void launch_empty(void* stream) { launch(stream, {"empty", 1, 1}, empty_kernel); }

}  // namespace tplab
