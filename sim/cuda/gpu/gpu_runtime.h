// What CudaDevice runs on for --device cuda: CUDA's runtime, linked into the program, and cuBLASLt.
#pragma once

#include <memory>

#include "sim/cuda/gpus.h"
#include "sim/cuda/runtime.h"

namespace tplab {

// Throws Error(unavailable) as check_gpus() does.
std::shared_ptr<CudaRuntime> make_gpu_runtime(const GpuSeat& seat);

// A kernel that does nothing: what a launch costs.
void launch_empty(void* stream);

}  // namespace tplab
