// The device for GPUs: kernels in a file a family, as in sim/ops/, each with the compute() that
// launches it, and products by the runtime. The same sources are --device cuda and, compiled for
// the host, --device cuda-host (side.h).
//
// A step that is captured is a list of operations first: what one launch can do of it is joined
// (few_rows.h), and the runtime writes the launches down.
//
// Numerics: the same bits run after run: sums are in an order that sizes alone decide, and nothing
// is added to by whichever thread comes first. All work is queued on the runtime's stream; nothing
// but download() and wait() waits for it.
#pragma once

#include <memory>
#include <vector>

#include "sim/cuda/runtime.h"
#include "sim/cuda/side.h"
#include "sim/device.h"
#include "sim/memory_pool.h"
#include "sim/ops/list.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(std::shared_ptr<CudaRuntime> runtime)
      : runtime_(std::move(runtime)),
        memory_(MemoryPool::make(runtime_)),
        arrivals_(make_arrivals()) {}
  ~CudaDevice() override { memory_->close(); }
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;
  std::string_view name() const override { return runtime_->name(); }

  Array allocate(DType dtype, const Shape& shape) override {
    Array x(dtype, shape, memory_->allocate(dtype, shape));
    if (captured_) captured_->push_back(x);
    return x;
  }
  void upload(HostSpan from, Array& to) override {
    runtime_->upload(from.data, to.data(), to.bytes());
  }
  void download(const Array& from, HostSpan to) override {
    runtime_->download(from.data(), to.data, from.bytes());
  }
  void zero(Array& x) override {
    queue_written();
    runtime_->set(x.data(), 0, x.bytes());
  }
  void* host_memory(Array& x) override {
    return runtime_->memory_is_the_hosts() ? x.data() : nullptr;
  }
  MemoryUse memory() const override { return memory_->use(); }

  void run(const Operation& operation) override {
    if (captured_) return written_.push_back(operation);
    std::visit([&](const auto& one) { compute(one); }, operation);
  }
  void wait() override { runtime_->wait(); }
  bool captures() const override { return true; }
  std::unique_ptr<Replay> capture(const std::function<void()>& step) override;

  void sum(std::span<const void* const> terms, void* out, DType dtype, int64_t count) override;
  void max(std::span<const void* const> terms, void* out, DType dtype, int64_t count) override;
  void sum_to_all(std::span<const void* const> terms, std::span<void* const> outs, DType dtype,
                  int64_t count) override;
  void max_to_all(std::span<const void* const> terms, std::span<void* const> outs, DType dtype,
                  int64_t count) override;
  bool reaches_peers() const override { return runtime_->reaches_peers(); }
  std::shared_ptr<void> record() override { return runtime_->record(); }
  void wait_for(const std::shared_ptr<void>& moment) override { runtime_->wait_for(moment); }
  std::shared_ptr<void> mark() override { return runtime_->mark(); }
  double seconds_between(const std::shared_ptr<void>& begin,
                         const std::shared_ptr<void>& end) override {
    return runtime_->seconds_between(begin, end);
  }
  void copy(const void* from, void* to, int64_t bytes) override {
    queue_written();
    if (from != to) runtime_->copy(from, to, bytes);
  }
  void read(std::span<const Array> arrays) override;

  CudaRuntime& runtime() { return *runtime_; }

 private:
  void compute(const op::Linear& o);
  void compute(const op::LinearBackwardInput& o);
  void compute(const op::LinearBackwardWeight& o);
  void compute(const op::SumRows& o);
  void compute(const op::Add& o);
  void compute(const op::Activation& o);
  void compute(const op::ActivationBackward& o);
  void compute(const op::Gated& o);
  void compute(const op::GatedBackward& o);
  void compute(const op::SoftCap& o);
  void compute(const op::SoftCapBackward& o);
  void compute(const op::Dropout& o);
  void compute(const op::LayerNorm& o);
  void compute(const op::LayerNormBackward& o);
  void compute(const op::RmsNorm& o);
  void compute(const op::RmsNormBackward& o);
  void compute(const op::Rotary& o);
  void compute(const op::CachedAttention& o);
  void compute(const op::CausalAttention& o);
  void compute(const op::CausalAttentionBackward& o);
  void compute(const op::Embedding& o);
  void compute(const op::EmbeddingBackward& o);
  void compute(const op::RowMax& o);
  void compute(const op::Pick& o);
  void compute(const op::ExpRows& o);
  void compute(const op::SoftmaxMinusOnehot& o);
  void compute(const op::SumOfLosses& o);
  void compute(const op::CrossEntropy& o);
  void compute(const op::SumOfSquares& o);
  void compute(const op::ClipScale& o);
  void compute(const op::AdamW& o);
  void compute(const op::LastPosition& o);
  void compute(const op::JoinShards& o);
  void compute(const op::CutShards& o);

  void* stream() { return runtime_->stream(); }
  // Numbers that a kernel leaves for the next one. The memory may serve another operation as soon
  // as the handle is gone: the stream keeps them in order.
  template <class Real>
  std::pair<Array, Real*> scratch(int64_t count) {
    Array x = allocate(dtype_of<Real>, {count});
    return {x, x.template as<Real>()};
  }

  std::shared_ptr<int32_t> make_arrivals();
  void queue_written();  // the operations of a step that is captured, so far

  const std::shared_ptr<CudaRuntime> runtime_;
  const std::shared_ptr<MemoryPool> memory_;
  const std::shared_ptr<int32_t> arrivals_;  // of decoding's blocks: zeros between two kernels
  std::vector<Array>* captured_ = nullptr;   // while a step is captured: what it allocated
  std::vector<Operation> written_;           // of it, and not given to the runtime yet
};

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
