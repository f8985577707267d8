// What doctor says of GPUs and of what moves numbers between them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/cuda/gpus.h"
#include "sim/nccl/nccl.h"

namespace tplab::cli {

struct GpuFacts {
  GpuReport cuda;
  NcclReport nccl;
  struct Measured {
    std::optional<GpuSpeed> speed;
    std::string problem, fix;  // why there is none
  };
  std::vector<Measured> measured;  // by GPU, where CUDA can be used
};

GpuFacts gpu_facts();  // some seconds a GPU

std::string cuda_text(const GpuReport& report);  // "CUDA 13.0, driver for 13.0, cuBLASLt 13.1.0"
std::string gpu_text(const GpuReport& report, size_t gpu);
std::string speed_text(const GpuSpeed& speed);

}  // namespace tplab::cli
