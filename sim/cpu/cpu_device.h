// The device for host memory: unwraps arrays and calls the kernels. device.cpp has its memory and
// the forward pass, device_training.cpp the rest of a training step.
//
// Numerics: every operation gives the same bits whatever the number of lanes.
#pragma once

#include "sim/cpu/memory.h"
#include "sim/cpu/read.h"
#include "sim/device.h"
#include "sim/threads/crew.h"

namespace tplab {

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(Crew& crew) : crew_(crew), memory_(CpuMemory::make()) {}
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

  void linear(const Array& x, const Array& w, const Array* bias, Array& y) override;
  void add(const Array& a, const Array& b, Array& y) override;
  void gelu(Gelu kind, const Array& x, Array& y) override;
  void layer_norm(const Array& x, const Array& weight, const Array* bias, double eps,
                  Array& y) override;
  void embedding(std::span<const int32_t> ids, const Array& table, int64_t first_row,
                 Array& y) override;
  void cached_attention(const Array& qkv, int64_t past, Array& keys, Array& values,
                        Array& y) override;
  void last_position(const Array& x, Array& y) override;
  void join_shards(const Array& shards, Array& y) override;
  void cut_shards(const Array& x, int64_t first, Array& shards) override;
  double cross_entropy(const Array& logits, std::span<const int32_t> targets) override;

  void linear_backward_input(const Array& dy, const Array& w, Array& dx) override;
  void linear_backward_weight(const Array& dy, const Array& x, Array& dw) override;
  void sum_rows(const Array& dy, Array& db) override;
  void gelu_backward(Gelu kind, const Array& x, const Array& dy, Array& dx) override;
  void layer_norm_backward(const Array& x, const Array& weight, double eps, const Array& dy,
                           Array& dx, Array& dweight, Array* dbias) override;
  void embedding_backward(std::span<const int32_t> ids, const Array& dy, int64_t first_row,
                          Array& dtable) override;
  void causal_attention(const Array& qkv, int64_t heads, const DropoutMask* mask, Array& y,
                        Array& log_sums) override;
  void causal_attention_backward(const Array& qkv, int64_t heads, const DropoutMask* mask,
                                 const Array& y, const Array& log_sums, const Array& dy,
                                 Array& dqkv) override;
  void dropout(const Array& x, const DropoutMask& mask, Array& y) override;
  void row_max(const Array& x, int64_t cols, Array& out) override;
  void pick(const Array& x, int64_t cols, std::span<const int32_t> ids, int64_t first,
            Array& out) override;
  void exp_rows(Array& x, int64_t cols, const Array& shift, Array& sums) override;
  void softmax_minus_onehot(Array& x, int64_t cols, const Array& sums, std::span<const int32_t> ids,
                            int64_t first, double scale) override;
  double sum_of_squares(const Array& x) override;
  void adamw(const AdamW& step, const Array& gradient, Array& m, Array& v,
             Array& parameter) override;

  void sum(std::span<const void* const> terms, void* out, DType dtype, int64_t count) override;
  void max(std::span<const void* const> terms, void* out, DType dtype, int64_t count) override;
  void copy(const void* from, void* to, int64_t bytes) override;

 private:
  Array attention_scratch(DType dtype, int64_t T, int64_t D);  // of all lanes

  Crew& crew_;
  std::shared_ptr<CpuMemory> memory_;
};

}  // namespace tplab
