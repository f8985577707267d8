// Every call of CUDA is checked by this: what went wrong, on which rank, and the way out.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

namespace tplab {

// Throws Error(unavailable) where this machine is at fault (no driver, no memory, a GPU that is
// gone), and Error(run) where a kernel is. `call`: "cudaMemcpyAsync"; `who`: "rank 2 on GPU 1".
[[noreturn]] void fail_cuda(cudaError_t error, const char* call, const std::string& who);

inline void check_cuda(cudaError_t error, const char* call, const std::string& who = {}) {
  if (error != cudaSuccess) fail_cuda(error, call, who);
}

// "13.0" of 13000
std::string cuda_version_text(int version);

}  // namespace tplab
