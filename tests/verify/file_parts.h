// Safetensors files put together in memory, of any number format.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "sim/shape.h"
#include "tests/model/raw_bytes.h"

namespace tplab::testing {

using Numbers = std::vector<double>;
using Ids = std::vector<int64_t>;

// One tensor of a safetensors file.
struct Part {
  std::string name, type, bytes;
  Shape shape;
};
using Parts = std::vector<Part>;

// The widest numbers first, as safetensors has them, so that each begins at a multiple of its size.
inline std::string file_of(Parts parts) {
  const auto width = [](const Part& p) {
    return p.type == "BF16" ? 16 : std::stoi(p.type.substr(1));
  };
  std::stable_sort(parts.begin(), parts.end(),
                   [&](const Part& a, const Part& b) { return width(a) > width(b); });
  std::string header, data;
  for (const Part& p : parts) {
    header += fmt::format(R"({}"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                          header.empty() ? "{" : ",", p.name, p.type, fmt::join(p.shape, ","),
                          data.size(), data.size() + p.bytes.size());
    data += p.bytes;
  }
  return safetensors(header + "}", data);
}

template <class Integer = int64_t>
Part ids(const std::string& name, const Shape& shape, const Ids& values,
         const std::string& type = "I64") {
  return {name, type, raw(std::vector<Integer>(values.begin(), values.end())), shape};
}
inline Part doubles(const std::string& name, const Shape& shape, const Numbers& values) {
  return {name, "F64", raw(values), shape};
}

// The nearest number of 1 + `fraction_bits` significant bits and exponents from `least_exponent`,
// in the even one of two as near.
inline double rounded_to(double v, int fraction_bits, int least_exponent) {
  if (v == 0) return 0;
  const double ulp = std::ldexp(1.0, std::max(std::ilogb(v), least_exponent) - fraction_bits);
  return std::nearbyint(v / ulp) * ulp;
}

inline uint16_t as_bf16(double v) {
  const auto rounded = static_cast<float>(rounded_to(v, 7, -126));
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(rounded) >> 16);
}

inline uint16_t as_f16(double v) {
  const auto sign = static_cast<uint16_t>(std::signbit(v) ? 0x8000 : 0);
  const double magnitude = std::abs(rounded_to(v, 10, -14));
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 0x1p-14) return sign | static_cast<uint16_t>(magnitude * 0x1p24);
  const int exponent = std::ilogb(magnitude);
  const double fraction = std::ldexp(magnitude, 10 - exponent) - 1024;
  return static_cast<uint16_t>(sign | (exponent + 15) << 10 | static_cast<int>(fraction));
}

// The numbers as a program that stores them in `type` rounds them.
inline Part stored(const std::string& name, const std::string& type, const Shape& shape,
                   const Numbers& values) {
  std::vector<uint16_t> halves;
  if (type == "F64") return doubles(name, shape, values);
  if (type == "F32")
    return {name, type, raw(std::vector<float>(values.begin(), values.end())), shape};
  for (double v : values) halves.push_back(type == "BF16" ? as_bf16(v) : as_f16(v));
  return {name, type, raw(halves), shape};
}

}  // namespace tplab::testing
