// What stands for sim/cuda/gpu/ in a build without CUDA.
#include "sim/cuda/gpus.h"
#include "sim/error.h"

namespace tplab {

namespace {
constexpr const char* kNoCuda = "device 'cuda' is not in this build";
constexpr const char* kBuildCuda =
    "use --device cpu, or build where nvcc is: cmake -DTPLAB_CUDA=ON says what is missing";
}  // namespace

GpuReport gpu_report() {
  GpuReport report;
  report.problem = kNoCuda;
  report.fix = kBuildCuda;
  return report;
}
bool gpus_reach_each_other(int) { return true; }
void check_gpus() { fail_unavailable(kNoCuda, kBuildCuda); }
std::unique_ptr<Device> make_gpu_device(const GpuSeat&) { fail_unavailable(kNoCuda, kBuildCuda); }
CudaRuntime& gpu_runtime(Device&) { fail_unavailable(kNoCuda, kBuildCuda); }
GpuSpeed measure_gpu(int) { fail_unavailable(kNoCuda, kBuildCuda); }

}  // namespace tplab
