#include "cli/gpu_facts.h"

#include <fmt/format.h>

#include "sim/error.h"
#include "sim/text/bytes_text.h"

namespace tplab::cli {

GpuFacts gpu_facts() {
  GpuFacts facts{gpu_report(), nccl_report(), {}};
  if (!facts.cuda.problem.empty()) return facts;
  for (size_t i = 0; i < facts.cuda.gpus.size(); ++i) {
    GpuFacts::Measured& measured = facts.measured.emplace_back();
    try {
      measured.speed = measure_gpu(static_cast<int>(i));
    } catch (const Error& error) {
      measured.problem = error.problem();
      measured.fix = error.fix();
    }
  }
  return facts;
}

std::string cuda_text(const GpuReport& report) {
  return fmt::format("CUDA {}, a driver for {}, cuBLASLt {}", report.built_for, report.driver,
                     report.cublas);
}

std::string gpu_text(const GpuReport& report, size_t i) {
  const Gpu& gpu = report.gpus[i];
  std::string text =
      fmt::format("{}, {}, {} multiprocessors of compute capability {}.{}", gpu.name,
                  bytes_text(gpu.memory_bytes), gpu.multiprocessors, gpu.major, gpu.minor);
  if (report.gpus.size() > 1)
    text += gpu.reaches.empty()
                ? std::string("; no peer access to other GPUs")
                : fmt::format("; peer access to GPU {}", fmt::join(gpu.reaches, ", "));
  return text;
}

std::string speed_text(const GpuSpeed& speed) {
  return fmt::format(
      "copies {:.2f} TB/s (read and written); products {:.0f} TFLOP/s in bf16, {:.0f} in tf32, "
      "{:.0f} in f32, {:.0f} in f64; a launch takes {:.1f} us, a graph node {:.1f} us",
      speed.copy_bytes_per_second * 1e-12, speed.bf16_flops * 1e-12, speed.tf32_flops * 1e-12,
      speed.f32_flops * 1e-12, speed.f64_flops * 1e-12, speed.launch_seconds * 1e6,
      speed.graph_node_seconds * 1e6);
}

}  // namespace tplab::cli
