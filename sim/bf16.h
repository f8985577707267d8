// bfloat16: a float's sign and exponent, and the first 7 bits of its fraction.
#pragma once

#include <bit>
#include <cstdint>

namespace tplab {

// A number as it is stored. Every bf16 is a float, and is computed with as one: to store a result
// rounds it, and is written out.
struct bf16 {  // NOLINT(readability-identifier-naming): as float is
  uint16_t bits;

  bf16() = default;
  // Rounded to nearest, ties to even; NaN stays NaN, what is too large becomes infinite.
  explicit constexpr bf16(float x) : bits(rounded(std::bit_cast<uint32_t>(x))) {}
  // Rounded once: a double that lies beside the middle of two bf16s, though its float lies on it,
  // goes to its own side.
  explicit constexpr bf16(double x) : bf16(off_middle(x)) {}
  constexpr operator float() const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }

 private:
  static constexpr uint16_t rounded(uint32_t x) {
    if ((x & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(x >> 16 | 0x40u);
    return static_cast<uint16_t>((x + 0x7fffu + (x >> 16 & 1u)) >> 16);
  }
  static constexpr float off_middle(double x) {
    const float near = static_cast<float>(x);
    const uint32_t bits = std::bit_cast<uint32_t>(near);
    if ((bits & 0xffffu) != 0x8000u || static_cast<double>(near) == x) return near;
    const bool larger = x < 0 ? x < static_cast<double>(near) : x > static_cast<double>(near);
    return std::bit_cast<float>(larger ? bits + 1 : bits - 1);
  }
};
static_assert(sizeof(bf16) == 2);

}  // namespace tplab
