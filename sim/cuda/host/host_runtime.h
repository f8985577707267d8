// What CudaDevice runs on for --device cuda-host.
#pragma once

#include <memory>

#include "sim/cuda/runtime.h"
#include "sim/device.h"

namespace tplab {

// Memory is handed out full of NaN bytes, with bytes around it that nobody may touch: wait() and
// download() throw where a kernel did.
std::shared_ptr<CudaRuntime> make_cuda_host_runtime();

// The kernels for GPUs, run on the CPU, by one thread and slowly: to prove them.
std::unique_ptr<Device> make_cuda_host_device();
CudaRuntime& cuda_host_runtime(Device& device);  // REQUIRES: make_cuda_host_device's

}  // namespace tplab
