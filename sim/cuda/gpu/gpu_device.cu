// The device of a rank on a GPU, of kernels that nvcc compiled.
#include "sim/cuda/cuda_device.h"
#include "sim/cuda/gpu/gpu_runtime.h"

namespace tplab {

std::unique_ptr<Device> make_gpu_device(const GpuSeat& seat) {
  return std::make_unique<on_gpu::CudaDevice>(make_gpu_runtime(seat));
}

CudaRuntime& gpu_runtime(Device& device) {
  return dynamic_cast<on_gpu::CudaDevice&>(device).runtime();
}

}  // namespace tplab
