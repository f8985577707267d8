// Work that is shared out is done once each, and what goes wrong in it is told.
#include "verify/parallel.h"

#include <catch2/catch.hpp>
#include <stdexcept>

using namespace tplab;

TEST_CASE("for_each_tile: every number is in one tile, whether threads are worth it or not") {
  for (const int64_t operations : {int64_t{1}, int64_t{1} << 40}) {
    for (const int64_t n : {0, 1, 7, 64, 1000}) {
      std::vector<int> visits(static_cast<size_t>(n));
      for_each_tile(n, 7, operations, [&](int64_t first, int64_t count) {
        for (int64_t i = first; i < first + count; ++i) ++visits[static_cast<size_t>(i)];
      });
      CHECK(visits == std::vector<int>(static_cast<size_t>(n), 1));
    }
  }
}

TEST_CASE("for_each_tile: what a tile throws is thrown, on whichever thread it was") {
  for (const int64_t bad : {0, 5, 99})
    CHECK_THROWS_WITH(for_each_tile(100, 1, int64_t{1} << 40,
                                    [&](int64_t i, int64_t) {
                                      if (i == bad) throw std::runtime_error("tile");
                                    }),
                      "tile");
}
