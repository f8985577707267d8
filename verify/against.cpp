#include "verify/against.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "model/files/bytes.h"
#include "verify/compare.h"

namespace tplab {

namespace {

// IEEE 754's numbers of a type: how many bits a significand has, the first one included, the
// exponent of the smallest normal number, and the largest number.
struct Format {
  int bits, least_exponent;
  double largest;
};
Format format_of(StoredType type) {
  switch (type) {
    case StoredType::bf16:
      return {8, -126, 0x1.FEp127};
    case StoredType::f16:
      return {11, -14, 0x1.FFCp15};
    case StoredType::f32:
      return {24, -126, std::numeric_limits<float>::max()};
    default:
      return {53, -1022, std::numeric_limits<double>::max()};
  }
}

double half_ulp(double x, const Format& format) {
  const int exponent = x == 0 ? format.least_exponent : std::ilogb(x);
  return std::ldexp(1.0, std::max(exponent, format.least_exponent) - format.bits);
}

// Whether every number of a tensor that is stored wider is one of this type's, and there are enough
// that this is no chance.
bool all_are(const std::vector<double>& values, StoredType type) {
  constexpr int kEnough = 16;
  int telling = 0;
  const Format format = format_of(type);
  for (double v : values) {
    if (v == 0 || !std::isfinite(v)) continue;
    const double steps = v / (2 * half_ulp(v, format));
    if (std::abs(v) > format.largest || steps != std::round(steps)) return false;
    ++telling;
  }
  return telling >= kEnough;
}

// Our numbers as the file has them: all; or of logits [B, T, V], flattened or not, those of the
// last position. Nothing where the shapes are not alike.
std::optional<std::vector<double>> in_shape_of(const GoldenTensor& golden,
                                               const std::vector<double>& got, const Shape& shape) {
  const Shape theirs = without_leading_ones(golden.shape);
  if (theirs == without_leading_ones(shape)) return got;
  if (golden.site != "head/logits" || shape.dims() != 3) return {};
  const int64_t B = shape[0], T = shape[1], V = shape[2];
  if (theirs == Shape{B * T, V}) return got;
  if (theirs != without_leading_ones({B, 1, V}) && theirs != without_leading_ones({B, V}))
    return {};
  std::vector<double> last;
  for (int64_t b = 0; b < B; ++b) {
    const auto row = got.begin() + (b * T + T - 1) * V;
    last.insert(last.end(), row, row + V);
  }
  return last;
}

// Where two arrays differ most, in words that cannot be taken for one another.
std::string describe(const GoldenTensor& golden, const Difference& d) {
  const std::string place = show_position(coordinates(d.worst_index, golden.shape));
  if (std::isnan(d.expected))
    return fmt::format("{}{} is NaN in the golden file; tplab has {:.9g}", golden.name, place,
                       d.got);
  const auto [ours, theirs] = told_apart(d.got, golden.values[static_cast<size_t>(d.worst_index)]);
  return fmt::format("largest difference {:.3g} at {}: tplab has {}, the golden file {}",
                     std::abs(d.got - golden.values[static_cast<size_t>(d.worst_index)]), place,
                     ours, theirs);
}

// Why they may differ.
std::string guess_why(const GoldenTensor& golden, const Difference& d, const Bound& in_f32) {
  constexpr const char* kOther =
      "the golden file is of other weights, other tokens or another formula";
  if (std::isnan(d.expected)) return "what the other program computed there is no number";
  for (const StoredType type : {StoredType::bf16, StoredType::f16}) {
    const std::string name(row_of(type).name);
    const bool wider = row_of(golden.stored).size_bytes > row_of(type).size_bytes;
    if (wider && all_are(golden.values, type))
      return fmt::format(
          "every number of it is one of {0}'s: it was rounded to {0} and made "
          "wider; save it as {0}, to have it judged as that",
          name);
  }
  // Rounding errors grow with the roundoff of what is computed in.
  const char* const computed_in = within(d, in_f32, 0x1p13)   ? "f16 or TF32"
                                  : within(d, in_f32, 0x1p16) ? "bf16"
                                                              : nullptr;
  if (!computed_in) return kOther;
  return fmt::format(
      "as far off as computing in {} makes it: then compute it in f32, without "
      "autocast; else {}",
      computed_in, kOther);
}

}  // namespace

double nearest_meant(double stored, StoredType type, double got) {
  if (type == StoredType::f64 || std::isnan(stored)) return stored;
  const Format format = format_of(type);
  if (std::isinf(stored)) {
    const double least = format.largest + half_ulp(format.largest, format);
    return std::abs(got) >= least && std::signbit(got) == std::signbit(stored) ? got : stored;
  }
  const double half = half_ulp(stored, format);
  return std::isnan(got) ? stored : std::clamp(got, stored - half, stored + half);
}

AgainstResult judge_against(const GoldenTensor& golden, const std::vector<double>& got,
                            const Shape& shape, const std::function<Bound(DType)>& bound_of,
                            DType dtype) {
  const Bound in_f32 = bound_of(DType::f32), ours = bound_of(dtype),
              theirs = bound_of(golden.stored == StoredType::f64 ? DType::f64 : DType::f32);
  AgainstResult result{.tensor = golden.name, .site = golden.site, .note = golden.note};
  result.bound = {ours.rms + theirs.rms, ours.max_abs + theirs.max_abs};
  const auto here = in_shape_of(golden, got, shape);
  if (!here) {
    result.rms = result.max_abs = std::numeric_limits<double>::infinity();
    result.difference =
        fmt::format("its shape is {}, and the model's {}", golden.shape.text(), shape.text());
    result.why = "the golden file is of another model, or of other tokens";
    return result;
  }
  if (here->size() != got.size())
    result.note += (result.note.empty() ? "" : "; ") + std::string("the last position alone");
  std::vector<double> meant(golden.values.size());
  for (size_t i = 0; i < meant.size(); ++i)
    meant[i] = nearest_meant(golden.values[i], golden.stored, (*here)[i]);
  const Difference d = compare(*here, meant, golden.shape, result.bound.max_abs);
  result.rms = d.rms_rel;
  result.max_abs = d.max_abs;
  result.good = within(d, result.bound);
  if (result.good) return result;
  result.difference = describe(golden, d);
  result.why = guess_why(golden, d, in_f32);
  return result;
}

}  // namespace tplab
