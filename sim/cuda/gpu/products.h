// Matrix products by cuBLASLt, which is loaded when it is first needed.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <string>

#include "sim/cuda/runtime.h"

namespace tplab {

// "13.1.0 (libcublasLt.so.13)". Throws Error(unavailable) where it cannot be loaded.
std::string cublas_version();

// One rank's, with a workspace of its own: ranks on one GPU run at once. Which algorithm computes a
// shape is cuBLASLt's first proposal, asked for once in a process and the same for all ranks of one
// kind of GPU, so that results do not depend on timings or on who came first. f32 products are true
// f32, as CUBLAS_COMPUTE_32F defines it.
//
// Biases are epilogues, activations are not. cuBLASLt has ReLU and the tanh form of GELU, not the
// exact one that presets and nanoGPT have; it would save 3 % of a training step at best, where
// product and activation are one operation: one line of the model, one site, for both. What decodes
// has any activation behind its product (../few_rows.h).
class GpuProducts {
 public:
  // The GPU is the current one.
  GpuProducts(cudaStream_t stream, std::string who);
  ~GpuProducts();
  GpuProducts(const GpuProducts&) = delete;
  GpuProducts& operator=(const GpuProducts&) = delete;

  void multiply(const CudaProduct& product);
  // For doctor alone: f32 in, tf32 on the tensor cores.
  void multiply_tf32(const CudaProduct& product);

 private:
  struct Plans;
  void run(const CudaProduct& product, bool tf32);

  cudaStream_t stream_;
  std::string who_;
  std::unique_ptr<Plans> plans_;
};

// y[r, c] = bias[c]: what a product without a bias of its own is added to.
//   y: [rows, cols]   bias: [cols], both of the dtype
void fill_rows(void* stream, const void* bias, void* y, int64_t rows, int64_t cols, DType dtype);

}  // namespace tplab
