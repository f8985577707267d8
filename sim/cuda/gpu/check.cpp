#include "sim/cuda/gpu/check.h"

#include <fmt/format.h>

#include "sim/error.h"

namespace tplab {

std::string cuda_version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

void fail_cuda(cudaError_t error, const char* call, const std::string& who) {
  const std::string front = who.empty() ? "" : who + ": ";
  const std::string said =
      fmt::format("{}{}: {} ({})", front, call, cudaGetErrorString(error), cudaGetErrorName(error));
  switch (error) {
    case cudaErrorInsufficientDriver: {
      int driver = 0;
      static_cast<void>(cudaDriverGetVersion(&driver));
      if (driver == 0)
        fail_unavailable(front + "this machine has no NVIDIA driver",
                         "use --device cpu or cuda-host, or install the driver of an NVIDIA GPU (a "
                         "container has "
                         "to be started with its GPUs)");
      fail_unavailable(
          fmt::format("{}the NVIDIA driver is too old: it knows CUDA {}, this build needs {}",
                      front, cuda_version_text(driver), cuda_version_text(CUDART_VERSION)),
          "use --device cpu, update the driver, or build with an older CUDA");
    }
    case cudaErrorNoDevice:
      fail_unavailable(front + "this machine has an NVIDIA driver and no GPU that it lets us use",
                       "use --device cpu; if there is a GPU, look at CUDA_VISIBLE_DEVICES and at "
                       "what nvidia-smi says");
    case cudaErrorInvalidDevice:
      fail_unavailable(front + "there is no such GPU", "look at CUDA_VISIBLE_DEVICES");
    case cudaErrorNoKernelImageForDevice:
      fail_unavailable(front + "this build has no kernels for this GPU",
                       "build with -DCMAKE_CUDA_ARCHITECTURES=native on this machine");
    case cudaErrorMemoryAllocation:
      fail_unavailable(said, "use a smaller model, batch or sequence, or fewer ranks on a GPU");
    case cudaErrorDevicesUnavailable:
    case cudaErrorSystemNotReady:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorECCUncorrectable:
    case cudaErrorHardwareStackError:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorUnknown:
      fail_unavailable(said + ". The GPU is lost to this process",
                       "look at nvidia-smi and dmesg (Xid): the GPU may have fallen off the bus or "
                       "be used by another; a run that was saved resumes elsewhere");
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorIllegalInstruction:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
      throw Error(ErrorKind::run, said + ". A kernel that was queued before failed",
                  "this is a bug of tplab's: run it under compute-sanitizer, or with --device "
                  "cuda-host");
    default:
      throw Error(ErrorKind::run, said, "");
  }
}

}  // namespace tplab
