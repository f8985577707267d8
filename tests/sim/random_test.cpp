// Random streams: many blocks at once against Random123's one by one.
#include "sim/random.h"

#include <catch2/catch.hpp>
#include <vector>

namespace tplab {
namespace {

TEST_CASE("bits: many blocks at once are the blocks one by one, past 2^32 too") {
  for (const uint64_t first : {uint64_t{0}, uint64_t{5}, (uint64_t{1} << 32) - 3}) {
    for (const int64_t blocks : {0, 1, 15, 16, 17, 50}) {
      const RandomStream stream(0x123456789abcdefu, "name");
      std::vector<uint32_t> got(static_cast<size_t>(4 * blocks) + 1, 42);
      stream.bits(first, blocks, got.data());
      for (size_t i = 0; i + 1 < got.size(); ++i) {
        REQUIRE(got[i] == stream.bits(first + i / 4)[i % 4]);
      }
      CHECK(got.back() == 42);  // and no further
    }
  }
}

}  // namespace
}  // namespace tplab
