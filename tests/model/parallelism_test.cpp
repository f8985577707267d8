// How a step is spread over ranks: what it is called, and what cannot be.
#include "model/parallelism.h"

#include <catch2/catch.hpp>

#include "sim/error.h"

using namespace tplab;

TEST_CASE("parallelism: its text says what is not as usual") {
  CHECK(Parallelism{}.text() == "tp 1, dp 1");
  CHECK(Parallelism{.tp = 2, .sp = true}.text() == "tp 2, dp 1, SP");
  CHECK(Parallelism{.tp = 2,
                    .dp = 4,
                    .sp = true,
                    .regather = true,
                    .recompute = true,
                    .zero = Zero::gradients,
                    .accumulation = 3}
            .text() == "tp 2, dp 4, SP, gathered again, recompute, ZeRO 2, 3 micro-batches");
}

TEST_CASE("parallelism: what contradicts itself is refused") {
  CHECK_NOTHROW(Parallelism{.tp = 2, .sp = true, .regather = true}.check());
  CHECK_THROWS_WITH((Parallelism{.tp = 2, .regather = true}.check()), Catch::Contains("add --sp"));
  for (const int stage : {-1, 3})
    CHECK_THROWS_WITH((Parallelism{.dp = 2, .zero = static_cast<Zero>(stage)}.check()),
                      Catch::Contains("there is no ZeRO stage") && Catch::Contains("0, 1 or 2"));
  CHECK_THROWS_WITH(Parallelism{.accumulation = 0}.check(), Catch::Contains("0 micro-batches"));
}

TEST_CASE("parallelism: a batch that does not divide is refused, and what would is named") {
  const Parallelism mesh{.tp = 4, .dp = 2, .sp = true, .accumulation = 3};
  CHECK_NOTHROW(mesh.check_batch(12, 64));
  CHECK(mesh.micro_batch(12) == 2);
  CHECK_THROWS_WITH(
      (Parallelism{.dp = 2, .accumulation = 2}.check_batch(6, 8)),
      Catch::Contains("6 sequences does not divide by 2 replicas and 2 micro-batches") &&
          Catch::Contains("a multiple of 4"));
  CHECK_THROWS_WITH(Parallelism{}.check_batch(0, 8), Catch::Contains("0 sequences"));
  CHECK_THROWS_WITH((Parallelism{.tp = 4, .sp = true}.check_batch(4, 10)),
                    Catch::Contains("10 positions over 4 ranks"));
  CHECK_NOTHROW(Parallelism{.tp = 4}.check_batch(4, 10));
  CHECK_THROWS_WITH((Parallelism{.regather = true}.check_batch(4, 8)), Catch::Contains("add --sp"));
}

TEST_CASE("mesh: the tp index changes fastest") {
  const Mesh mesh{.tp = 3, .dp = 2};
  CHECK(mesh.ranks() == 6);
  CHECK(mesh.rank(1, 2) == 5);
  CHECK(mesh.tp_index(4) == 1);
  CHECK(mesh.dp_index(4) == 1);
  CHECK(mesh.tp_group(1) == std::vector{3, 4, 5});
  CHECK(mesh.dp_group(1) == std::vector{1, 4});
}
