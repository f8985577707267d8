// tplab's numbers beside another program's: what storing rounds is allowed for, and nothing more.
#include "verify/against.h"

#include <limits>

#include "model/files/safetensors.h"
#include "tests/verify/golden_files.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// Numbers of many sizes and both signs, none of them one of a short format.
Numbers numbers(int64_t count) {
  Numbers all;
  for (int64_t i = 0; i < count; ++i)
    all.push_back(std::sin(12.9898 * static_cast<double>(i + 1)) *
                  std::exp2(static_cast<double>(i % 9) - 4));
  return all;
}

GoldenTensor golden_of(const Part& part) {
  const TempFolder folder;
  const SafetensorsFile file(folder.write("g.safetensors", file_of({part})));
  return {.name = part.name,
          .site = "head/logits",
          .shape = part.shape,
          .stored = file.at(part.name).type,
          .values = file.read_doubles(part.name)};
}

// As in f64: nothing to speak of; in f32 2^29 times that.
Bound tight(DType dtype) {
  return dtype == DType::f64 ? Bound{1e-15, 1e-15} : Bound{1e-15 * 0x1p29, 1e-15 * 0x1p29};
}

AgainstResult judged(const GoldenTensor& golden, const Numbers& got, const Shape& shape) {
  return judge_against(golden, got, shape, tight, DType::f64);
}

}  // namespace

TEST_CASE("against: a stored number stands for all that round to it, and for no other") {
  // 1 + 2^-7 is bf16's next number after 1, 1 + 2^-10 f16's, 1 + 2^-23 f32's.
  struct Row {
    StoredType type;
    double ulp;
  };
  for (const Row& row :
       {Row{StoredType::bf16, 0x1p-7}, {StoredType::f16, 0x1p-10}, {StoredType::f32, 0x1p-23}}) {
    INFO(row_of(row.type).name);
    CHECK(nearest_meant(1.5, row.type, 1.5 + 0.4 * row.ulp) == 1.5 + 0.4 * row.ulp);
    CHECK(nearest_meant(-1.5, row.type, -1.5 - 0.4 * row.ulp) == -1.5 - 0.4 * row.ulp);
    CHECK(nearest_meant(1.5, row.type, 1.5 + 3 * row.ulp) == 1.5 + 0.5 * row.ulp);
    CHECK(nearest_meant(1.5, row.type, 1.2) == 1.5 - 0.5 * row.ulp);
    CHECK(nearest_meant(1024 * 1.5, row.type, 0) == 1024 * (1.5 - 0.5 * row.ulp));
    CHECK(nearest_meant(1.5, row.type, kInf) == 1.5 + 0.5 * row.ulp);
    CHECK(nearest_meant(1.5, row.type, kNan) == 1.5);
    CHECK(std::isnan(nearest_meant(kNan, row.type, 1.5)));
  }
  CHECK(nearest_meant(1.5, StoredType::f64, 1.5 + 0x1p-53) == 1.5);
}

TEST_CASE("against: the smallest numbers and those past the largest round as IEEE 754 says") {
  CHECK(nearest_meant(0, StoredType::f16, 0x1p-26) == 0x1p-26);  // f16's least is 2^-24
  CHECK(nearest_meant(0, StoredType::f16, 1) == 0x1p-25);
  CHECK(nearest_meant(0x1p-24, StoredType::f16, 1) == 0x1p-24 + 0x1p-25);
  CHECK(nearest_meant(0, StoredType::bf16, 1) == 0x1p-134);
  CHECK(nearest_meant(kInf, StoredType::f16, 65520) == 65520);
  CHECK(nearest_meant(kInf, StoredType::f16, 65519) == kInf);
  CHECK(nearest_meant(-kInf, StoredType::f16, 65520) == -kInf);
  CHECK(nearest_meant(-kInf, StoredType::f16, -70000) == -70000);
  CHECK(nearest_meant(kInf, StoredType::bf16, 3.3e38) == kInf);
  CHECK(nearest_meant(kInf, StoredType::bf16, 3.4e38) == 3.4e38);
}

TEST_CASE("against: right numbers agree whatever they are stored in") {
  const Numbers got = numbers(60);
  for (const char* type : {"F64", "F32", "BF16", "F16"}) {
    INFO(type);
    const AgainstResult result =
        judged(golden_of(stored("logits", type, {2, 3, 10}, got)), got, {2, 3, 10});
    INFO(result.difference);
    CHECK(result.good);
    CHECK(result.difference.empty());
  }
}

TEST_CASE("against: one number a step of its type off is found, at its place, in every type") {
  const Numbers got = numbers(60);
  for (const char* type : {"F64", "F32", "BF16", "F16"}) {
    INFO(type);
    GoldenTensor golden = golden_of(stored("logits", type, {2, 3, 10}, got));
    const int bits = golden.stored == StoredType::bf16  ? 7
                     : golden.stored == StoredType::f16 ? 10
                     : golden.stored == StoredType::f32 ? 23
                                                        : 40;  // of f64 more than the bound
    golden.values[37] += std::ldexp(1.0, std::ilogb(golden.values[37]) - bits);
    const auto exact = [](DType) -> Bound { return {1e-15, 1e-15}; };
    const AgainstResult result = judge_against(golden, got, {2, 3, 10}, exact, DType::f64);
    CHECK_FALSE(result.good);
    CHECK_THAT(result.difference, Contains("at [1, 0, 7]: tplab has"));
  }
}

TEST_CASE("against: words say whose number is whose, and in as many digits as tell them apart") {
  const GoldenTensor golden = golden_of(doubles("logits", {2}, {1, 0.1 + 1e-13}));
  const AgainstResult result = judged(golden, {1, 0.1}, {2});
  CHECK_FALSE(result.good);
  CHECK(result.difference ==
        "largest difference 1e-13 at [1]: tplab has 0.1, the golden file 0.1000000000001");
  CHECK_THAT(result.why, Contains("of other weights, other tokens or another formula"));
}

TEST_CASE("against: a NaN is named with its tensor and place, and never passes") {
  GoldenTensor golden = golden_of(doubles("logits", {1, 2, 2}, {1, 2, kNan, 4}));
  const AgainstResult result = judged(golden, {1, 2, 3, 4}, {1, 2, 2});
  CHECK_FALSE(result.good);
  CHECK(result.difference == "logits[0, 1, 0] is NaN in the golden file; tplab has 3");
  golden.values[2] = 3;
  CHECK_FALSE(judged(golden, {1, 2, kNan, 4}, {1, 2, 2}).good);
  golden.values[2] = kNan;
  CHECK_FALSE(judged(golden, {1, 2, kNan, 4}, {1, 2, 2}).good);
}

TEST_CASE("against: logits of the last position, flat or squeezed are compared as what they are") {
  const Numbers got = numbers(2 * 3 * 5);
  const Numbers last(got.begin() + 10, got.begin() + 15), last_2(got.begin() + 25, got.end());
  Numbers both = last;
  both.insert(both.end(), last_2.begin(), last_2.end());
  const Shape ours = {2, 3, 5};
  for (const Shape& shape : {Shape{2, 1, 5}, {2, 5}}) {
    const AgainstResult result = judged(golden_of(doubles("logits", shape, both)), got, ours);
    CHECK(result.good);
    CHECK(result.note == "the last position alone");
  }
  CHECK(judged(golden_of(doubles("logits", {6, 5}, got)), got, ours).good);
  CHECK(judged(golden_of(doubles("logits", {1, 2, 3, 5}, got)), got, ours).good);
  // The first positions in place of the last.
  Numbers first(got.begin(), got.begin() + 5);
  first.insert(first.end(), got.begin() + 15, got.begin() + 20);
  CHECK_FALSE(judged(golden_of(doubles("logits", {2, 1, 5}, first)), got, ours).good);
  // One sequence.
  const Numbers one(got.begin(), got.begin() + 15);
  CHECK(judged(golden_of(doubles("logits", {3, 5}, one)), one, {1, 3, 5}).note.empty());
  CHECK(judged(golden_of(doubles("logits", {3, 5}, one)), one, {1, 3, 5}).good);
  for (const Shape& shape : {Shape{5}, {1, 5}, {1, 1, 5}})
    CHECK(judged(golden_of(doubles("logits", shape, last)), one, {1, 3, 5}).good);
  // No shape of ours.
  const AgainstResult other = judged(golden_of(doubles("logits", {3, 2, 5}, got)), got, ours);
  CHECK_FALSE(other.good);
  CHECK_THAT(other.difference, Contains("its shape is [3, 2, 5], and the model's [2, 3, 5]"));
}

TEST_CASE("against: a tensor that is no logits has all positions") {
  const Numbers got = numbers(2 * 3 * 5);
  GoldenTensor golden = golden_of(doubles("activation.ln1", {2, 1, 5}, numbers(10)));
  golden.site = "block 0/ln_1";
  CHECK_FALSE(judged(golden, got, {2, 3, 5}).good);
  golden = golden_of(doubles("activation.pos_emb", {3, 5}, Numbers(got.begin(), got.begin() + 15)));
  golden.site = "embed/pos";
  CHECK(judged(golden, {got.begin(), got.begin() + 15}, {1, 3, 5}).good);
}

TEST_CASE(
    "against: what was rounded to a short format and made wider, or computed in it, is told") {
  const Numbers got = numbers(60);
  GoldenTensor made_wider = golden_of(stored("logits", "BF16", {60}, got));
  made_wider.stored = StoredType::f32;
  const AgainstResult wider = judged(made_wider, got, {60});
  CHECK_FALSE(wider.good);
  CHECK_THAT(wider.why, Contains("save it as bf16"));
  // Errors as bf16's operations leave them, in numbers that are none of bf16's.
  GoldenTensor computed = golden_of(doubles("logits", {60}, got));
  for (double& v : computed.values) v *= 1 + 0x1p-9;
  const auto bound_of = [](DType dtype) {
    return dtype == DType::f64 ? Bound{1e-16, 1e-15} : Bound{1e-7, 1e-6};
  };
  const AgainstResult coarse = judge_against(computed, got, {60}, bound_of, DType::f64);
  CHECK_FALSE(coarse.good);
  CHECK_THAT(coarse.why, Contains("bf16") && Contains("without autocast"));
}
