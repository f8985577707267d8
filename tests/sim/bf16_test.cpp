#include "sim/bf16.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "sim/dtype.h"

namespace tplab {
namespace {

TEST_CASE("bf16: every one of them is its own rounding") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    bf16 x;
    x.bits = static_cast<uint16_t>(bits);
    const float as_float = x;
    if (std::isnan(as_float)) {
      REQUIRE(std::isnan(static_cast<float>(bf16(as_float))));
      continue;
    }
    REQUIRE(bf16(as_float).bits == bits);
    REQUIRE(bf16(static_cast<double>(as_float)).bits == bits);
  }
}

TEST_CASE("bf16: the nearest of two neighbours, ties to the even one, from float and double") {
  for (const uint32_t lower : {0x3f80u, 0x3f81u, 0xc2ffu, 0x0001u, 0x807fu, 0x0000u}) {
    bf16 low, high;
    low.bits = static_cast<uint16_t>(lower);
    high.bits = static_cast<uint16_t>(lower + 1);
    const double middle = (static_cast<double>(low) + static_cast<double>(high)) / 2;
    const double high_side = std::nextafter(middle, static_cast<double>(high));
    const double low_side = std::nextafter(middle, static_cast<double>(low));
    CHECK(bf16(middle).bits == (lower % 2 == 0 ? low.bits : high.bits));
    CHECK(bf16(static_cast<float>(middle)).bits == (lower % 2 == 0 ? low.bits : high.bits));
    CHECK(bf16(high_side).bits == high.bits);  // as a float both are the middle
    CHECK(bf16(low_side).bits == low.bits);
  }
}

TEST_CASE("bf16: past its largest is infinite, NaN stays NaN") {
  constexpr double kLargest = 0x1.fep127, kFirstOut = 0x1.ffp127;
  CHECK(static_cast<double>(bf16(kLargest)) == kLargest);
  CHECK(static_cast<double>(bf16(std::nextafter(kFirstOut, 0.0))) == kLargest);
  CHECK(std::isinf(static_cast<float>(bf16(kFirstOut))));
  CHECK(std::isinf(static_cast<float>(bf16(-std::numeric_limits<double>::infinity()))));
  CHECK(std::isnan(static_cast<float>(bf16(std::numeric_limits<double>::quiet_NaN()))));
  CHECK(std::isnan(static_cast<float>(bf16(std::bit_cast<float>(0x7f800001u)))));
}

TEST_CASE("bf16: as a dtype") {
  CHECK(size_bytes(DType::bf16) == 2);
  CHECK(accumulator(DType::bf16) == DType::f32);
  CHECK(static_cast<float>(bf16(1 + unit_roundoff(DType::bf16))) == 1);  // the tie goes to even
  CHECK(static_cast<float>(bf16(1 + 1.01 * unit_roundoff(DType::bf16))) == 1.0078125f);
}

}  // namespace
}  // namespace tplab
