#include "sim/timed_device.h"

#include <utility>

namespace tplab {

namespace {

class TimedDevice final : public Device {
 public:
  TimedDevice(std::unique_ptr<Device> device, OperationTimes& times)
      : device_(std::move(device)), times_(times) {}

  std::string_view name() const override { return device_->name(); }
  bool has_numbers() const override { return device_->has_numbers(); }
  Array allocate(DType dtype, const Shape& shape) override {
    return device_->allocate(dtype, shape);
  }
  void upload(HostSpan from, Array& to) override { device_->upload(from, to); }
  void download(const Array& from, HostSpan to) override { device_->download(from, to); }
  void zero(Array& x) override { device_->zero(x); }
  void* host_memory(Array& x) override { return device_->host_memory(x); }
  MemoryUse memory() const override { return device_->memory(); }
  void read(std::span<const Array> arrays) override { device_->read(arrays); }
  void sum(std::span<const void* const> terms, void* out, DType dtype, int64_t count) override {
    device_->sum(terms, out, dtype, count);
  }
  void max(std::span<const void* const> terms, void* out, DType dtype, int64_t count) override {
    device_->max(terms, out, dtype, count);
  }
  void copy(const void* from, void* to, int64_t bytes) override { device_->copy(from, to, bytes); }

  void linear(const Array& x, const Array& w, const Array* bias, Array& y) override {
    const Operation timed(times_, "linear");
    device_->linear(x, w, bias, y);
  }
  void add(const Array& a, const Array& b, Array& y) override {
    const Operation timed(times_, "add");
    device_->add(a, b, y);
  }
  void gelu(Gelu kind, const Array& x, Array& y) override {
    const Operation timed(times_, "gelu");
    device_->gelu(kind, x, y);
  }
  void layer_norm(const Array& x, const Array& weight, const Array* bias, double eps,
                  Array& y) override {
    const Operation timed(times_, "layer_norm");
    device_->layer_norm(x, weight, bias, eps, y);
  }
  void embedding(std::span<const int32_t> ids, const Array& table, int64_t first_row,
                 Array& y) override {
    const Operation timed(times_, "embedding");
    device_->embedding(ids, table, first_row, y);
  }
  void cached_attention(const Array& qkv, int64_t past, Array& keys, Array& values,
                        Array& y) override {
    const Operation timed(times_, "cached_attention");
    device_->cached_attention(qkv, past, keys, values, y);
  }
  void last_position(const Array& x, Array& y) override {
    const Operation timed(times_, "last_position");
    device_->last_position(x, y);
  }
  void join_shards(const Array& shards, Array& y) override {
    const Operation timed(times_, "join_shards");
    device_->join_shards(shards, y);
  }
  void cut_shards(const Array& x, int64_t first, Array& shards) override {
    const Operation timed(times_, "cut_shards");
    device_->cut_shards(x, first, shards);
  }
  double cross_entropy(const Array& logits, std::span<const int32_t> targets) override {
    const Operation timed(times_, "cross_entropy");
    return device_->cross_entropy(logits, targets);
  }

  void linear_backward_input(const Array& dy, const Array& w, Array& dx) override {
    const Operation timed(times_, "linear_backward_input");
    device_->linear_backward_input(dy, w, dx);
  }
  void linear_backward_weight(const Array& dy, const Array& x, Array& dw) override {
    const Operation timed(times_, "linear_backward_weight");
    device_->linear_backward_weight(dy, x, dw);
  }
  void sum_rows(const Array& dy, Array& db) override {
    const Operation timed(times_, "sum_rows");
    device_->sum_rows(dy, db);
  }
  void gelu_backward(Gelu kind, const Array& x, const Array& dy, Array& dx) override {
    const Operation timed(times_, "gelu_backward");
    device_->gelu_backward(kind, x, dy, dx);
  }
  void layer_norm_backward(const Array& x, const Array& weight, double eps, const Array& dy,
                           Array& dx, Array& dweight, Array* dbias) override {
    const Operation timed(times_, "layer_norm_backward");
    device_->layer_norm_backward(x, weight, eps, dy, dx, dweight, dbias);
  }
  void embedding_backward(std::span<const int32_t> ids, const Array& dy, int64_t first_row,
                          Array& dtable) override {
    const Operation timed(times_, "embedding_backward");
    device_->embedding_backward(ids, dy, first_row, dtable);
  }
  void causal_attention(const Array& qkv, int64_t heads, const DropoutMask* mask, Array& y,
                        Array& log_sums) override {
    const Operation timed(times_, "causal_attention");
    device_->causal_attention(qkv, heads, mask, y, log_sums);
  }
  void causal_attention_backward(const Array& qkv, int64_t heads, const DropoutMask* mask,
                                 const Array& y, const Array& log_sums, const Array& dy,
                                 Array& dqkv) override {
    const Operation timed(times_, "causal_attention_backward");
    device_->causal_attention_backward(qkv, heads, mask, y, log_sums, dy, dqkv);
  }
  void dropout(const Array& x, const DropoutMask& mask, Array& y) override {
    const Operation timed(times_, "dropout");
    device_->dropout(x, mask, y);
  }
  void row_max(const Array& x, int64_t cols, Array& out) override {
    const Operation timed(times_, "row_max");
    device_->row_max(x, cols, out);
  }
  void pick(const Array& x, int64_t cols, std::span<const int32_t> ids, int64_t first,
            Array& out) override {
    const Operation timed(times_, "pick");
    device_->pick(x, cols, ids, first, out);
  }
  void exp_rows(Array& x, int64_t cols, const Array& shift, Array& sums) override {
    const Operation timed(times_, "exp_rows");
    device_->exp_rows(x, cols, shift, sums);
  }
  void softmax_minus_onehot(Array& x, int64_t cols, const Array& sums, std::span<const int32_t> ids,
                            int64_t first, double scale) override {
    const Operation timed(times_, "softmax_minus_onehot");
    device_->softmax_minus_onehot(x, cols, sums, ids, first, scale);
  }
  double sum_of_squares(const Array& x) override {
    const Operation timed(times_, "sum_of_squares");
    return device_->sum_of_squares(x);
  }
  void adamw(const AdamW& step, const Array& gradient, Array& m, Array& v,
             Array& parameter) override {
    const Operation timed(times_, "adamw");
    device_->adamw(step, gradient, m, v, parameter);
  }

 private:
  class Operation {
   public:
    Operation(OperationTimes& times, std::string_view name) : times_(times) { times_.starts(name); }
    ~Operation() { times_.ends(); }
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

   private:
    OperationTimes& times_;
  };

  const std::unique_ptr<Device> device_;
  OperationTimes& times_;
};

}  // namespace

std::unique_ptr<Device> make_timed_device(std::unique_ptr<Device> device, OperationTimes& times) {
  return std::make_unique<TimedDevice>(std::move(device), times);
}

}  // namespace tplab
