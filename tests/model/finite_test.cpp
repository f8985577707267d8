// Weights that are no numbers are refused by the name and place that their file has for them.
#include "model/finite.h"

#include <limits>

#include "checkpoint_files.h"
#include "model/checkpoints/checkpoint.h"
#include "model/files/safetensors.h"
#include "small_gpt.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// small_weights() with one other number.
class OneChanged final : public WeightSource {
 public:
  OneChanged(std::string parameter, int64_t row, int64_t col, double value)
      : parameter_(std::move(parameter)), row_(row), col_(col), value_(value) {}
  const Architecture& architecture() const override { return honest_->architecture(); }
  std::string description() const override { return "one changed"; }
  std::string stored_dtype() const override { return "f64"; }
  void read(std::string_view parameter, const Slice& slice, HostSpan out) const override {
    honest_->read(parameter, slice, out);
    REQUIRE(slice.rows.size() == 1);
    const Range rows = slice.rows[0];
    if (parameter != parameter_ || row_ < rows.begin || row_ >= rows.end) return;
    REQUIRE(out.dtype == DType::f64);
    static_cast<double*>(out.data)[(row_ - rows.begin) * slice.cols.size() + col_] = value_;
  }

 private:
  std::unique_ptr<WeightSource> honest_ = small_weights();
  std::string parameter_;
  int64_t row_, col_;
  double value_;
};

std::string complaint(const WeightSource& source, DType dtype = DType::f32) {
  return refusal([&] { require_finite(source, dtype); });
}

}  // namespace

TEST_CASE("finite: a NaN or an infinity is named with its place, in every parameter") {
  CHECK_NOTHROW(require_finite(*small_weights(), DType::f32));
  for (const NamedTensor& p : named_tensors(kSmall)) {
    const int64_t row = p.shape[0] - 1, col = p.shape.dims() == 2 ? p.shape[1] - 1 : 0;
    const std::string place = p.shape.dims() == 2
                                  ? "[" + std::to_string(row) + ", " + std::to_string(col) + "]"
                                  : "[" + std::to_string(row) + "]";
    const OneChanged nan(p.name, row, col, kNan);
    CHECK(complaint(nan) == "one changed: " + p.name + place + " is NaN, not a number");
    CHECK_THAT(complaint(OneChanged(p.name, row, col, kInf)), Contains(place + " is inf"));
    CHECK_THAT(complaint(OneChanged(p.name, 0, 0, -kInf), DType::f64), Contains("is -inf"));
  }
}

TEST_CASE("finite: a number that f32 cannot hold is refused for f32 alone") {
  const OneChanged large("transformer.h.1.mlp.c_proj.weight", 2, 5, -1e39);
  CHECK_THAT(complaint(large),
             Contains("h.1.mlp.c_proj.weight[2, 5] is -1e+39, more than f32 can hold"));
  CHECK_NOTHROW(require_finite(large, DType::f64));
  const OneChanged between("transformer.wpe.weight", 0, 0, 3.4e38);
  CHECK_NOTHROW(require_finite(between, DType::f32));
  CHECK_THAT(complaint(between, DType::bf16), Contains("is 3.4e+38, more than bf16 can hold"));
}

TEST_CASE("finite: a Hugging Face file's transposed layout is the one that is named") {
  const TempFolder folder;
  fs::copy(fixture("gpt2-tiny"), folder.path(), fs::copy_options::recursive);
  const std::string path = folder.path("model.safetensors");
  std::string bytes = file_bytes(path);
  const TensorInfo info = SafetensorsFile(path).at("transformer.h.0.mlp.c_fc.weight");
  const std::string nan = raw(std::numeric_limits<float>::quiet_NaN());
  bytes.replace(static_cast<size_t>(info.offset + 4 * (5 * info.shape[1] + 3)), 4, nan);
  folder.write("model.safetensors", bytes);
  const std::string place = "transformer.h.0.mlp.c_fc.weight[5, 3] is NaN";
  CHECK_THAT(complaint(*open_checkpoint(folder.path())), Contains(place));
}

TEST_CASE(
    "finite: the case of a checkpoint with a NaN names transformer.h.0.mlp.c_fc.weight[3, 5]") {
  if (!has_shared_data("cases/11-nan-in-weights")) return;
  const auto source = open_checkpoint(shared_data("cases/11-nan-in-weights/ckpt.pt"));
  CHECK_THAT(complaint(*source),
             Contains("ckpt.pt") && Contains("transformer.h.0.mlp.c_fc.weight[3, 5] is NaN"));
}
