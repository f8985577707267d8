#include "sim/cuda/gpu/products.h"

#include <cublasLt.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <map>
#include <mutex>
#include <tuple>

#include "sim/cuda/gpu/check.h"
#include "sim/error.h"
#include "sim/machine/shared_library.h"

#ifndef TPLAB_CUDA_LIBRARIES  // the folder where the build found them
#define TPLAB_CUDA_LIBRARIES ""
#endif

namespace tplab {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // cuBLAS' own default on Hopper

// The functions of cuBLASLt, under their names without the prefix.
struct CublasLt {
  CublasLt();
  SharedLibrary library;
  size_t version = 0;
  decltype(cublasLtGetVersion)* get_version;
  decltype(cublasLtGetCudartVersion)* get_cudart_version;
  decltype(cublasLtGetStatusString)* status_string;
  decltype(cublasLtCreate)* create;
  decltype(cublasLtDestroy)* destroy;
  decltype(cublasLtMatmul)* matmul;
  decltype(cublasLtMatmulAlgoGetHeuristic)* heuristic;
  decltype(cublasLtMatmulDescCreate)* desc_create;
  decltype(cublasLtMatmulDescDestroy)* desc_destroy;
  decltype(cublasLtMatmulDescSetAttribute)* desc_set;
  decltype(cublasLtMatrixLayoutCreate)* layout_create;
  decltype(cublasLtMatrixLayoutDestroy)* layout_destroy;
  decltype(cublasLtMatmulPreferenceCreate)* preference_create;
  decltype(cublasLtMatmulPreferenceDestroy)* preference_destroy;
  decltype(cublasLtMatmulPreferenceSetAttribute)* preference_set;
};

constexpr const char* kCublasFix =
    "install the cuBLAS of this build's CUDA and name its folder in LD_LIBRARY_PATH, or use "
    "--device "
    "cpu";

#define TPLAB_TEXT_OF(x) #x
#define TPLAB_TEXT(x) TPLAB_TEXT_OF(x)
CublasLt::CublasLt()
    : library("cuBLASLt", {"libcublasLt.so." TPLAB_TEXT(CUBLAS_VER_MAJOR)}, TPLAB_CUDA_LIBRARIES,
              kCublasFix) {
  library.find("cublasLtGetVersion", get_version);
  library.find("cublasLtGetCudartVersion", get_cudart_version);
  library.find("cublasLtGetStatusString", status_string);
  library.find("cublasLtCreate", create);
  library.find("cublasLtDestroy", destroy);
  library.find("cublasLtMatmul", matmul);
  library.find("cublasLtMatmulAlgoGetHeuristic", heuristic);
  library.find("cublasLtMatmulDescCreate", desc_create);
  library.find("cublasLtMatmulDescDestroy", desc_destroy);
  library.find("cublasLtMatmulDescSetAttribute", desc_set);
  library.find("cublasLtMatrixLayoutCreate", layout_create);
  library.find("cublasLtMatrixLayoutDestroy", layout_destroy);
  library.find("cublasLtMatmulPreferenceCreate", preference_create);
  library.find("cublasLtMatmulPreferenceDestroy", preference_destroy);
  library.find("cublasLtMatmulPreferenceSetAttribute", preference_set);
  version = get_version();
}

const CublasLt& cublas() {
  static const CublasLt library;
  return library;
}

void check_cublas(cublasStatus_t status, const char* call, const std::string& who) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const std::string said = fmt::format("{}: {}: {}", who, call, cublas().status_string(status));
  if (status == CUBLAS_STATUS_ALLOC_FAILED)
    fail_unavailable(said + " (out of memory)", "use a smaller model, batch or sequence");
  throw Error(ErrorKind::run, said, "");
}

cudaDataType_t type_of(DType dtype) {
  if (dtype == DType::f64) return CUDA_R_64F;
  return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

// The largest power of two up to 256 that the address is a multiple of.
uint32_t alignment_of(const void* address) {
  const auto bits = reinterpret_cast<uintptr_t>(address) | 256;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

// All that the choice of an algorithm may depend on.
struct Shape3 {
  int64_t rows, cols, depth;
  DType dtype, y_dtype;
  bool a_transposed, b_transposed, add, bias, tf32;
  uint32_t a_alignment, b_alignment, y_alignment;
  auto operator<=>(const Shape3&) const = default;
};

// Of a kind of GPU; null algo: cuBLASLt has none for this shape with a bias.
struct Choice {
  bool exists = false;
  cublasLtMatmulAlgo_t algo = {};
};

// What all ranks of the process chose.
struct Choices {
  std::mutex mutex;
  std::map<std::pair<std::string, Shape3>, Choice> by_gpu_and_shape;
};
Choices& choices() {
  static Choices all;
  return all;
}

// A product's descriptors, which cuBLASLt reads at each call.
struct Plan {
  Plan(const Shape3& shape, const void* bias, const std::string& who);
  ~Plan();
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, y = nullptr;
  Choice choice;
};

// cuBLASLt's matrices lie column by column: a row-major matrix is its own transpose there. So
// y^T = op(b)^T op(a)^T is asked for, its first factor being b, and nothing is transposed in
// memory.
Plan::Plan(const Shape3& s, const void* bias, const std::string& who) {
  const CublasLt& lt = cublas();
  const bool f64 = s.dtype == DType::f64;
  const cublasComputeType_t compute = f64      ? CUBLAS_COMPUTE_64F
                                      : s.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                               : CUBLAS_COMPUTE_32F;
  const cudaDataType_t type = type_of(s.dtype), y_type = type_of(s.y_dtype);
  check_cublas(lt.desc_create(&desc, compute, f64 ? CUDA_R_64F : CUDA_R_32F),
               "cublasLtMatmulDescCreate", who);
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    check_cublas(lt.desc_set(desc, attribute, &value, sizeof value),
                 "cublasLtMatmulDescSetAttribute", who);
  };
  const cublasOperation_t as_it_is = CUBLAS_OP_N, transposed = CUBLAS_OP_T;
  set(CUBLASLT_MATMUL_DESC_TRANSA, s.b_transposed ? transposed : as_it_is);
  set(CUBLASLT_MATMUL_DESC_TRANSB, s.a_transposed ? transposed : as_it_is);
  if (s.bias) {
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    const int32_t bias_type = type;
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias_type);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);  // until a call says its own
  }
  const auto layout = [&](cublasLtMatrixLayout_t& made, cudaDataType_t of,
                          int64_t columns_of_memory, int64_t rows_of_memory) {
    check_cublas(lt.layout_create(&made, of, static_cast<uint64_t>(columns_of_memory),
                                  static_cast<uint64_t>(rows_of_memory), columns_of_memory),
                 "cublasLtMatrixLayoutCreate", who);
  };
  layout(a, type, s.a_transposed ? s.rows : s.depth, s.a_transposed ? s.depth : s.rows);
  layout(b, type, s.b_transposed ? s.depth : s.cols, s.b_transposed ? s.cols : s.depth);
  layout(y, y_type, s.cols, s.rows);
}

Plan::~Plan() {
  const CublasLt& lt = cublas();
  if (a) lt.layout_destroy(a);
  if (b) lt.layout_destroy(b);
  if (y) lt.layout_destroy(y);
  if (desc) lt.desc_destroy(desc);
}

// The first algorithm that cuBLASLt proposes. It is asked, never timed.
Choice propose(cublasLtHandle_t handle, const Shape3& s, const Plan& plan, const std::string& who) {
  const CublasLt& lt = cublas();
  cublasLtMatmulPreference_t preference = nullptr;
  check_cublas(lt.preference_create(&preference), "cublasLtMatmulPreferenceCreate", who);
  const auto destroy = [&lt](cublasLtMatmulPreference_t p) { lt.preference_destroy(p); };
  const std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>, decltype(destroy)> owner(
      preference, destroy);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check_cublas(lt.preference_set(preference, attribute, &value, sizeof value),
                 "cublasLtMatmulPreferenceSetAttribute", who);
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, s.b_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, s.a_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, s.y_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, s.y_alignment);
  cublasLtMatmulHeuristicResult_t result{};
  int found = 0;
  const cublasStatus_t status = lt.heuristic(handle, plan.desc, plan.b, plan.a, plan.y, plan.y,
                                             preference, 1, &result, &found);
  if (status == CUBLAS_STATUS_SUCCESS && found > 0 && result.state == CUBLAS_STATUS_SUCCESS)
    return {true, result.algo};
  if (s.bias) return {};  // then without
  check_cublas(status == CUBLAS_STATUS_SUCCESS ? CUBLAS_STATUS_NOT_SUPPORTED : status,
               "cublasLtMatmulAlgoGetHeuristic", who);
  return {};
}

}  // namespace

std::string cublas_version() {
  const size_t v = cublas().version;
  return fmt::format("{}.{}.{} ({})", v / 10000, v / 100 % 100, v % 100, cublas().library.path());
}

struct GpuProducts::Plans {
  ~Plans() {
    by_shape.clear();
    if (handle) cublas().destroy(handle);
    if (workspace) static_cast<void>(cudaFree(workspace));
  }
  const Plan& plan(const Shape3& shape, const void* bias, const std::string& who);

  cublasLtHandle_t handle = nullptr;
  void* workspace = nullptr;
  std::string gpu;  // its kind
  std::map<Shape3, std::unique_ptr<Plan>> by_shape;
};

const Plan& GpuProducts::Plans::plan(const Shape3& shape, const void* bias,
                                     const std::string& who) {
  std::unique_ptr<Plan>& plan = by_shape[shape];
  if (plan) return *plan;
  auto made = std::make_unique<Plan>(shape, bias, who);
  {
    const std::lock_guard lock(choices().mutex);
    auto& all = choices().by_gpu_and_shape;
    const auto key = std::make_pair(gpu, shape);
    auto chosen = all.find(key);
    if (chosen == all.end()) chosen = all.emplace(key, propose(handle, shape, *made, who)).first;
    made->choice = chosen->second;
  }
  plan = std::move(made);
  return *plan;
}

GpuProducts::GpuProducts(cudaStream_t stream, std::string who)
    : stream_(stream), who_(std::move(who)), plans_(std::make_unique<Plans>()) {
  int device = 0;
  cudaDeviceProp properties;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice", who_);
  check_cuda(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties", who_);
  plans_->gpu = fmt::format("{} {}.{} x {}", properties.name, properties.major, properties.minor,
                            properties.multiProcessorCount);
  check_cublas(cublas().create(&plans_->handle), "cublasLtCreate", who_);
  check_cuda(cudaMalloc(&plans_->workspace, kWorkspaceBytes), "cudaMalloc (cuBLASLt's workspace)",
             who_);
}

GpuProducts::~GpuProducts() = default;

void GpuProducts::multiply(const CudaProduct& product) { run(product, false); }
void GpuProducts::multiply_tf32(const CudaProduct& product) { run(product, true); }

void GpuProducts::run(const CudaProduct& p, bool tf32) {
  if (p.rows == 0 || p.cols == 0) return;
  assert(!(p.add && p.bias) && (!p.bias || p.dtype == p.y_dtype));
  const CublasLt& lt = cublas();
  Shape3 shape{.rows = p.rows,
               .cols = p.cols,
               .depth = p.depth,
               .dtype = p.dtype,
               .y_dtype = p.y_dtype,
               .a_transposed = p.a_transposed,
               .b_transposed = p.b_transposed,
               .add = p.add,
               // f64 has no epilogues; that of a bias reads 16 bytes at once.
               .bias = p.bias != nullptr && p.dtype != DType::f64 && alignment_of(p.bias) >= 16,
               .tf32 = tf32,
               .a_alignment = alignment_of(p.a),
               .b_alignment = alignment_of(p.b),
               .y_alignment = alignment_of(p.y)};
  const Plan* plan = p.depth > 0 ? &plans_->plan(shape, p.bias, who_) : nullptr;
  const bool fused_bias = plan && shape.bias && plan->choice.exists;
  if (p.bias && !fused_bias) {  // the rows begin as the bias, and the product is added
    fill_rows(stream_, p.bias, p.y, p.rows, p.cols, p.y_dtype);
    shape.bias = false;
    shape.add = true;
    if (plan) plan = &plans_->plan(shape, p.bias, who_);
  } else if (!plan && !p.add) {
    const auto bytes = static_cast<size_t>(p.rows * p.cols * size_bytes(p.y_dtype));
    check_cuda(cudaMemsetAsync(p.y, 0, bytes, stream_), "cudaMemsetAsync", who_);
  }
  if (!plan) return;
  if (fused_bias) {
    const void* const bias = p.bias;
    check_cublas(lt.desc_set(plan->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
                 "cublasLtMatmulDescSetAttribute", who_);
  }
  const double one64 = 1, beta64 = shape.add ? 1 : 0;
  const float one32 = 1, beta32 = shape.add ? 1 : 0;
  const bool f64 = p.dtype == DType::f64;
  const void* const one = f64 ? static_cast<const void*>(&one64) : &one32;
  const void* const beta = f64 ? static_cast<const void*>(&beta64) : &beta32;
  check_cublas(
      lt.matmul(plans_->handle, plan->desc, one, p.b, plan->b, p.a, plan->a, beta, p.y, plan->y,
                p.y, plan->y, &plan->choice.algo, plans_->workspace, kWorkspaceBytes, stream_),
      fmt::format("cublasLtMatmul of {} x {} x {} {}", p.rows, p.cols, p.depth,
                  tplab::name(p.dtype))
          .c_str(),
      who_);
}

}  // namespace tplab
