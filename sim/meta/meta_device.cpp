#include "sim/meta/meta_device.h"

#include <algorithm>
#include <initializer_list>

#include "sim/recorder.h"

namespace tplab {

namespace {

class MetaDevice final : public Device {
 public:
  explicit MetaDevice(Recorder* recorder) : recorder_(recorder) {}
  std::string_view name() const override { return "meta"; }
  bool has_numbers() const override { return false; }

  Array allocate(DType dtype, const Shape& shape) override {
    const int64_t bytes = shape.count() * size_bytes(dtype);
    use_->current_bytes += bytes;
    use_->peak_bytes = std::max(use_->peak_bytes, use_->current_bytes);
    // An address that nobody may follow. Each array has its own, an empty one too.
    void* const address = reinterpret_cast<void*>(next_);  // NOLINT(performance-no-int-to-ptr)
    next_ += static_cast<uintptr_t>((bytes + kAlignment) / kAlignment * kAlignment);
    return Array(dtype, shape, std::shared_ptr<void>(address, [use = use_, bytes](void*) {
                   use->current_bytes -= bytes;
                 }));
  }
  void upload(HostSpan, Array& to) override { tell("upload", {}, {&to}); }
  void download(const Array&, HostSpan to) override {
    dispatch(to.dtype, [&](auto zero) {
      std::fill_n(static_cast<decltype(zero)*>(to.data), to.count, decltype(zero){1});
    });
  }
  void zero(Array& x) override { tell("zero", {}, {&x}); }
  MemoryUse memory() const override { return *use_; }
  void read(std::span<const Array>) override {}

  void linear(const Array& x, const Array& w, const Array* bias, Array& y) override {
    tell("linear", {&x, &w, bias}, {&y});
  }
  void add(const Array& a, const Array& b, Array& y) override { tell("add", {&a, &b}, {&y}); }
  void gelu(Gelu, const Array& x, Array& y) override { tell("gelu", {&x}, {&y}); }
  void layer_norm(const Array& x, const Array& weight, const Array* bias, double,
                  Array& y) override {
    tell("layer_norm", {&x, &weight, bias}, {&y});
  }
  void embedding(std::span<const int32_t>, const Array& table, int64_t, Array& y) override {
    tell("embedding", {&table}, {&y});
  }
  void cached_attention(const Array& qkv, int64_t, Array& keys, Array& values, Array& y) override {
    tell("cached_attention", {&qkv}, {&keys, &values, &y});
  }
  void last_position(const Array& x, Array& y) override { tell("last_position", {&x}, {&y}); }
  void join_shards(const Array& shards, Array& y) override { tell("join_shards", {&shards}, {&y}); }
  void cut_shards(const Array& x, int64_t, Array& shards) override {
    tell("cut_shards", {&x}, {&shards});
  }
  double cross_entropy(const Array& logits, std::span<const int32_t>) override {
    tell("cross_entropy", {&logits}, {});
    return 1;
  }

  void linear_backward_input(const Array& dy, const Array& w, Array& dx) override {
    tell("linear_backward_input", {&dy, &w}, {&dx});
  }
  void linear_backward_weight(const Array& dy, const Array& x, Array& dw) override {
    tell("linear_backward_weight", {&dy, &x}, {&dw});
  }
  void sum_rows(const Array& dy, Array& db) override { tell("sum_rows", {&dy}, {&db}); }
  void gelu_backward(Gelu, const Array& x, const Array& dy, Array& dx) override {
    tell("gelu_backward", {&x, &dy}, {&dx});
  }
  void layer_norm_backward(const Array& x, const Array& weight, double, const Array& dy, Array& dx,
                           Array& dweight, Array* dbias) override {
    tell("layer_norm_backward", {&x, &weight, &dy}, {&dx, &dweight, dbias});
  }
  void embedding_backward(std::span<const int32_t>, const Array& dy, int64_t,
                          Array& dtable) override {
    tell("embedding_backward", {&dy}, {&dtable});
  }
  void causal_attention(const Array& qkv, int64_t, const DropoutMask*, Array& y,
                        Array& log_sums) override {
    tell("causal_attention", {&qkv}, {&y, &log_sums});
  }
  void causal_attention_backward(const Array& qkv, int64_t, const DropoutMask*, const Array& y,
                                 const Array& log_sums, const Array& dy, Array& dqkv) override {
    tell("causal_attention_backward", {&qkv, &y, &log_sums, &dy}, {&dqkv});
  }
  void dropout(const Array& x, const DropoutMask&, Array& y) override {
    tell("dropout", {&x}, {&y});
  }
  void row_max(const Array& x, int64_t, Array& out) override { tell("row_max", {&x}, {&out}); }
  void pick(const Array& x, int64_t, std::span<const int32_t>, int64_t, Array& out) override {
    tell("pick", {&x}, {&out});
  }
  void exp_rows(Array& x, int64_t, const Array& shift, Array& sums) override {
    tell("exp_rows", {&x, &shift}, {&x, &sums});
  }
  void softmax_minus_onehot(Array& x, int64_t, const Array& sums, std::span<const int32_t>, int64_t,
                            double) override {
    tell("softmax_minus_onehot", {&x, &sums}, {&x});
  }
  double sum_of_squares(const Array& x) override {
    tell("sum_of_squares", {&x}, {});
    return 1;
  }
  void adamw(const AdamW&, const Array& gradient, Array& m, Array& v, Array& parameter) override {
    tell("adamw", {&gradient, &m, &v, &parameter}, {&m, &v, &parameter});
  }

  void sum(std::span<const void* const>, void*, DType, int64_t) override {}
  void max(std::span<const void* const>, void*, DType, int64_t) override {}
  void copy(const void*, void*, int64_t) override {}

 private:
  using List = std::initializer_list<const Array*>;
  static constexpr int64_t kAlignment = 64;

  // Null arrays are left out.
  void tell(std::string_view operation, List reads, List writes) {
    if (!recorder_) return;
    const auto present = [](List list, std::array<const Array*, 4>& kept) {
      const auto end = std::copy_if(list.begin(), list.end(), kept.begin(),
                                    [](const Array* array) { return array != nullptr; });
      return std::span<const Array* const>(kept.begin(), end);
    };
    std::array<const Array*, 4> read{}, written{};
    recorder_->computed({operation, present(reads, read), present(writes, written)});
  }

  Recorder* const recorder_;
  std::shared_ptr<MemoryUse> use_ = std::make_shared<MemoryUse>();
  uintptr_t next_ = kAlignment;
};

}  // namespace

std::unique_ptr<Device> make_meta_device(Recorder* recorder) {
  return std::make_unique<MetaDevice>(recorder);
}

}  // namespace tplab
