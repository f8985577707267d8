// The language that kernels are written in: CUDA C++, of which this is the part that the host
// compiler understands too (host/language.h: what its words mean there), and these:
//
//   TPLAB_SHARED(float, tile, [32][33]);         a static array in shared memory, for __shared__
//   float* row = dynamic_shared<float>();        the launch's shared bytes
//   launch(stream, {"add", blocks, threads}, add<float>, x, y, count);
//
// What a kernel may count on: one stream runs launches in order. A barrier is for all threads of a
// block, an operation of a warp for all lanes of its mask. instructions.h has what is no C++:
// tensor cores, asynchronous copies, cache hints; reduce.h sums over warps and blocks; vectors.h
// loads of 16 bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sim/cuda/side.h"

#ifdef __CUDACC__

#include <cuda_runtime.h>

#include <string>

#include "sim/cuda/gpu/check.h"

#define TPLAB_SHARED(type, name, extent) __shared__ alignas(16) type name extent

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

template <class T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char dynamic_shared_bytes[];
  return reinterpret_cast<T*>(dynamic_shared_bytes);
}

// A kernel's name, for errors, and its grid.
struct Launch {
  const char* kernel;
  dim3 blocks, threads;
  size_t shared_bytes = 0;
};

// Queues the kernel; a grid without blocks is nothing to do. Throws as check_cuda does, with the
// kernel's name, where the GPU refuses it or what was queued before has failed.
template <class... Parameters, class... Arguments>
void launch(void* stream, const Launch& l, void (*kernel)(Parameters...), Arguments... arguments) {
  if (l.blocks.x == 0 || l.blocks.y == 0 || l.blocks.z == 0) return;
  constexpr size_t kUnasked = 40 << 10;  // of 48 KiB, which a kernel's static arrays are part of
  cudaError_t error = cudaSuccess;
  if (l.shared_bytes > kUnasked) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(l.shared_bytes));
  }
  if (error == cudaSuccess) {
    kernel<<<l.blocks, l.threads, l.shared_bytes, static_cast<cudaStream_t>(stream)>>>(
        arguments...);
    error = cudaGetLastError();
  }
  if (error != cudaSuccess) fail_cuda(error, (std::string("kernel ") + l.kernel).c_str(), "");
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab

#else

#include "sim/cuda/host/language.h"

#endif

// Before a loop whose arrays are to stay in registers, and one that would take too many.
#ifdef __CUDACC__
#define TPLAB_UNROLL _Pragma("unroll")
#define TPLAB_ROLLED _Pragma("unroll 1")
#else
#define TPLAB_UNROLL
#define TPLAB_ROLLED
#endif

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// Blocks that are enough for `count` pieces of work, `each` a block.
inline unsigned blocks_for(int64_t count, int64_t each) {
  return static_cast<unsigned>((count + each - 1) / each);
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
