// The device for host memory. device.cpp has its memory; a file a family, as in sim/ops/, the
// kernels on plain pointers and the compute() that unwraps arrays for them.
//
// Numerics: every operation gives the same bits whatever the number of lanes. The kernels know f32
// and f64; in bf16 an operation is what it is in f32, rounded once (in_f32.h).
#pragma once

#include "sim/cpu/in_f32.h"
#include "sim/cpu/memory.h"
#include "sim/cpu/read.h"
#include "sim/device.h"
#include "sim/ops/list.h"
#include "sim/threads/crew.h"

namespace tplab {

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(Crew& crew) : crew_(crew), memory_(make_cpu_memory()) {}
  ~CpuDevice() override { memory_->close(); }
  CpuDevice(const CpuDevice&) = delete;
  CpuDevice& operator=(const CpuDevice&) = delete;
  std::string_view name() const override { return "cpu"; }

  Array allocate(DType dtype, const Shape& shape) override {
    return Array(dtype, shape, memory_->allocate(dtype, shape));
  }
  void upload(HostSpan from, Array& to) override { copy(from.data, to.data(), to.bytes()); }
  void download(const Array& from, HostSpan to) override {
    copy(from.data(), to.data, from.bytes());
  }
  void zero(Array& x) override;
  void* host_memory(Array& x) override { return x.data(); }
  MemoryUse memory() const override { return memory_->use(); }
  void read(std::span<const Array> arrays) override { cpu::read(crew_, arrays); }

  void run(const Operation& operation) override {
    std::visit(
        [&](const auto& one) {
          if (!cpu::has_bf16(one)) return compute(one);
          auto widened = one;
          const cpu::InF32 copies(*this, crew_, widened);
          compute(widened);
          copies.round();
        },
        operation);
  }

  void sum(std::span<const void* const> terms, void* out, DType dtype, int64_t count) override;
  void max(std::span<const void* const> terms, void* out, DType dtype, int64_t count) override;
  void copy(const void* from, void* to, int64_t bytes) override;

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
  Array attention_scratch(DType dtype, int64_t T, int64_t D);  // of all lanes

  Crew& crew_;
  std::shared_ptr<MemoryPool> memory_;
};

}  // namespace tplab
