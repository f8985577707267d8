// Which of the driver's GPUs a CUDA program sees, and by which number: NVML knows nothing of
// CUDA_VISIBLE_DEVICES, so that its GPU 0 need not be CUDA's.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/nvml/gpus.h"

namespace tplab {

// The environment of the program, where it is set.
struct CudaEnvironment {
  std::optional<std::string> visible_devices;  // CUDA_VISIBLE_DEVICES
  std::optional<std::string> device_order;     // CUDA_DEVICE_ORDER
};

// Absent: it cannot be known from outside of the program.
struct CudaView {
  std::optional<bool> visible;
  std::optional<int> number;  // CUDA's, of one that is visible
};

struct VisibleGpus {
  std::vector<CudaView> views;     // one for each reading
  std::vector<std::string> notes;  // for people: what the setting says, and what is wrong with it
};

// readings: as Gpus::read() gives them. A list of indices, UUIDs or beginnings of UUIDs that fit
// one GPU alone, and of MIG devices' (MIG-<uuid>, MIG-GPU-<uuid>/<GPU instance>/<compute
// instance>); what fits nothing ends it. Indices are NVML's if CUDA_DEVICE_ORDER is PCI_BUS_ID or
// all GPUs are of one kind: else CUDA puts the fastest first, by its own judgement.
//   source: NVIDIA, CUDA programming guide, "CUDA environment variables"; MIG user guide
VisibleGpus visible_gpus(const std::vector<GpuReading>& readings, const CudaEnvironment& set);

}  // namespace tplab
