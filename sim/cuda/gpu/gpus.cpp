#include "sim/cuda/gpus.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "sim/cuda/gpu/check.h"
#include "sim/cuda/gpu/gpu_runtime.h"
#include "sim/cuda/gpu/products.h"
#include "sim/error.h"

namespace tplab {
namespace {

std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU-";
  for (size_t i = 0; i < sizeof uuid.bytes; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

int count_gpus() {
  int count = 0;
  check_cuda(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  return count;
}

std::vector<Gpu> find_gpus() {
  std::vector<Gpu> gpus;
  const int count = count_gpus();
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp p;
    check_cuda(cudaGetDeviceProperties(&p, i), "cudaGetDeviceProperties");
    Gpu gpu{.name = p.name,
            .uuid = uuid_text(p.uuid),
            .major = p.major,
            .minor = p.minor,
            .multiprocessors = p.multiProcessorCount,
            .memory_bytes = static_cast<int64_t>(p.totalGlobalMem)};
    for (int other = 0; other < count; ++other) {
      int can = 0;
      if (other != i && cudaDeviceCanAccessPeer(&can, i, other) == cudaSuccess && can)
        gpu.reaches.push_back(other);
    }
    gpus.push_back(std::move(gpu));
  }
  return gpus;
}

// Seconds that the stream's work takes, by events around it; the best of several.
double seconds_of(cudaStream_t stream, int times, const std::function<void()>& work) {
  cudaEvent_t begin = nullptr, end = nullptr;
  check_cuda(cudaEventCreate(&begin), "cudaEventCreate");
  check_cuda(cudaEventCreate(&end), "cudaEventCreate");
  double best = 1e30;
  work();
  for (int i = 0; i < times; ++i) {
    float milliseconds = 0;
    check_cuda(cudaEventRecord(begin, stream), "cudaEventRecord");
    work();
    check_cuda(cudaEventRecord(end, stream), "cudaEventRecord");
    check_cuda(cudaEventSynchronize(end), "cudaEventSynchronize");
    check_cuda(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
    best = std::min(best, static_cast<double>(milliseconds) * 1e-3);
  }
  check_cuda(cudaEventDestroy(begin), "cudaEventDestroy");
  check_cuda(cudaEventDestroy(end), "cudaEventDestroy");
  return best;
}

}  // namespace

void check_gpus() {
  if (count_gpus() == 0) fail_cuda(cudaErrorNoDevice, "cudaGetDeviceCount", "");
  static_cast<void>(cublas_version());
}

bool gpus_reach_each_other(int places) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) return true;  // others say so
  count = std::min(count, places);
  for (int from = 0; from < count; ++from)
    for (int to = 0; to < count; ++to) {
      int can = 0;
      if (from != to && (cudaDeviceCanAccessPeer(&can, from, to) != cudaSuccess || !can))
        return false;
    }
  return true;
}

GpuReport gpu_report() {
  GpuReport report;
  report.built_for = cuda_version_text(CUDART_VERSION);
  int version = 0;
  if (cudaRuntimeGetVersion(&version) == cudaSuccess) report.runtime = cuda_version_text(version);
  if (cudaDriverGetVersion(&version) == cudaSuccess && version > 0)
    report.driver = cuda_version_text(version);
  try {
    report.cublas = cublas_version();
  } catch (const Error& error) {
    report.cublas = error.problem();
    report.problem = error.problem();
    report.fix = error.fix();
  }
  try {
    report.gpus = find_gpus();
    if (report.gpus.empty()) fail_cuda(cudaErrorNoDevice, "cudaGetDeviceCount", "");
  } catch (const Error& error) {
    report.problem = error.problem();
    report.fix = error.fix();
  }
  return report;
}

GpuSpeed measure_gpu(int gpu) {
  constexpr int64_t kCopied = int64_t{1} << 30, kSide = 8192;
  constexpr int kTimes = 5, kLaunches = 200;
  const auto runtime = make_gpu_runtime({.rank = gpu, .place = gpu, .places = 1});
  const auto stream = static_cast<cudaStream_t>(runtime->stream());
  GpuProducts products(stream, fmt::format("GPU {}", gpu));
  const auto bytes = [&](int64_t size) {
    void* const data = runtime->take(size);
    if (!data)
      fail_unavailable(
          fmt::format("GPU {} has no memory left to measure with{}", gpu, runtime->free_text()),
          std::string(runtime->way_out()));
    // Neither zeros, which multiply faster, nor NaN: 0x3c3c is a small number of each dtype.
    runtime->set(data, 0x3c, size);
    return std::shared_ptr<void>(data, [runtime, size](void* p) { runtime->give_back(p, size); });
  };
  GpuSpeed speed;
  {
    const auto from = bytes(kCopied), to = bytes(kCopied);
    speed.copy_bytes_per_second =
        2 * static_cast<double>(kCopied) /
        seconds_of(stream, kTimes, [&] { runtime->copy(from.get(), to.get(), kCopied); });
  }
  const auto a = bytes(kSide * kSide * 4), b = bytes(kSide * kSide * 4),
             y = bytes(kSide * kSide * 4);
  const auto flops = [&](DType dtype, int64_t side, bool tf32) {
    const CudaProduct product{.a = a.get(),
                              .b = b.get(),
                              .bias = nullptr,
                              .y = y.get(),
                              .a_transposed = false,
                              .b_transposed = true,
                              .add = false,
                              .rows = side,
                              .cols = side,
                              .depth = side,
                              .dtype = dtype,
                              .y_dtype = dtype};
    const double n = static_cast<double>(side);
    return 2 * n * n * n / seconds_of(stream, kTimes, [&] {
             tf32 ? products.multiply_tf32(product) : products.multiply(product);
           });
  };
  speed.bf16_flops = flops(DType::bf16, kSide, false);
  speed.tf32_flops = flops(DType::f32, kSide, true);
  speed.f32_flops = flops(DType::f32, kSide / 2, false);
  speed.f64_flops = flops(DType::f64, kSide / 2, false);
  const auto launches = [&] {
    for (int i = 0; i < kLaunches; ++i) launch_empty(stream);
  };
  speed.launch_seconds = seconds_of(stream, kTimes, launches) / kLaunches;
  runtime->begin_capture();
  launches();
  const CapturedStep step = runtime->end_capture(true);
  speed.graph_node_seconds = seconds_of(stream, kTimes, [&] { runtime->replay(step); }) / kLaunches;
  runtime->wait();
  return speed;
}

}  // namespace tplab
