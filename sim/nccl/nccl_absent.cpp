// What stands for sim/nccl/gpu/ in a build without NCCL.
#include "sim/error.h"
#include "sim/nccl/nccl.h"

namespace tplab {

namespace {
constexpr const char* kNoNccl = "comm 'nccl' is not in this build";
constexpr const char* kBuildNccl =
    "use --comm threads, or build where CUDA and nccl.h are: cmake -DTPLAB_NCCL=ON says what is "
    "missing";
}  // namespace

NcclReport nccl_report() { return {kNoNccl, kBuildNccl, "", ""}; }
void check_nccl() { fail_unavailable(kNoNccl, kBuildNccl); }
bool nccl_is_a_stand_in() { fail_unavailable(kNoNccl, kBuildNccl); }
std::unique_ptr<Transport> make_nccl_transport(Agreement&, Device&, CudaRuntime&, double) {
  fail_unavailable(kNoNccl, kBuildNccl);
}

}  // namespace tplab
