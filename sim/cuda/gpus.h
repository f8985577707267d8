// The GPUs of this machine, as far as CUDA's runtime tells: who has one, which, and why not. In a
// build without CUDA all of it says so.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sim/device.h"

namespace tplab {

class CudaRuntime;

struct Gpu {
  std::string name, uuid;    // "GPU-8a5c..", as nvidia-smi has it
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  int64_t memory_bytes = 0;
  std::vector<int> reaches = {};  // the GPUs whose memory its kernels can read: peer access
};

// What doctor says of CUDA. Never throws.
struct GpuReport {
  std::string problem, fix;                // empty: CUDA can be used
  std::string built_for, runtime, driver;  // versions: "13.0"; empty if unknown
  std::string cublas;                      // version and path, or why it cannot be loaded
  std::vector<Gpu> gpus;                   // in CUDA's order, so of CUDA_VISIBLE_DEVICES
};
GpuReport gpu_report();

// Whether the kernels of the first `places` GPUs can all read each other's memory. Where not, ranks
// that are threads send one another copies, which CUDA takes through the host's memory.
bool gpus_reach_each_other(int places);

// Which GPU a rank of this process takes: its place among the ranks of its host goes round the
// GPUs. Several ranks on one GPU take turns there.
struct GpuSeat {
  int rank = 0;    // for errors
  int place = 0;   // among the ranks of this host
  int places = 1;  // of which there are so many, to read each other's memory; 0: none does
};

// Throws Error(unavailable), with the way out: no driver, one too old, no GPU, cuBLASLt missing.
void check_gpus();
std::unique_ptr<Device> make_gpu_device(const GpuSeat& seat);
CudaRuntime& gpu_runtime(Device& device);  // REQUIRES: make_gpu_device's

// What a GPU does at best, by events on it: what doctor prints.
struct GpuSpeed {
  double copy_bytes_per_second = 0;  // read and written
  double bf16_flops = 0, tf32_flops = 0, f32_flops = 0, f64_flops = 0;
  double launch_seconds = 0;      // of an empty kernel, one after the other in a stream
  double graph_node_seconds = 0;  // the same in a CUDA graph
};
GpuSpeed measure_gpu(int gpu);

}  // namespace tplab
