// The kernels of sim/cuda/, compiled for the host: CudaDevice of --device cuda-host.
#include "sim/cuda/activation.cu"
#include "sim/cuda/device.cu"
#include "sim/cuda/embedding.cu"
#include "sim/cuda/few_rows.cu"
#include "sim/cuda/host/host_runtime.h"
#include "sim/cuda/linear.cu"
#include "sim/cuda/loss.cu"
#include "sim/cuda/moves.cu"
#include "sim/cuda/norm.cu"
#include "sim/cuda/optimizer.cu"
#include "sim/cuda/rotary.cu"

namespace tplab {

std::unique_ptr<Device> make_cuda_host_device() {
  return std::make_unique<CudaDevice>(make_cuda_host_runtime());
}

CudaRuntime& cuda_host_runtime(Device& device) {
  return dynamic_cast<CudaDevice&>(device).runtime();
}

}  // namespace tplab
