// Numbers that ranks tell one another.
#include "sim/machine/rank_numbers.h"

#include <catch2/catch.hpp>

#include "sim/machine/world.h"

namespace tplab {
namespace {

const WorldOptions kRankMeshes[] = {{}, {.tp = 3}, {.dp = 2}, {.tp = 2, .dp = 2}};

// What every rank is told; told(rank, number), the numbers being 0.1, 1.1, .. backwards.
template <class Told>
std::vector<double> on_every_rank(const WorldOptions& mesh, Told told) {
  const auto [results, records] = World(mesh).run([&](Rank& rank) {
    return told(rank, 0.1 + (mesh.mesh().ranks() - 1 - rank.global_index()));
  });
  return results;
}

}  // namespace

TEST_CASE("rank numbers: every rank of a mesh is told the same, to the bit") {
  for (const WorldOptions& mesh : kRankMeshes) {
    const int ranks = mesh.mesh().ranks();
    const std::vector<double> first(static_cast<size_t>(ranks), 0.1 + (ranks - 1));
    CHECK(on_every_rank(mesh, from_rank_0) == first);
    CHECK(on_every_rank(mesh, most_of_ranks) == first);
    const std::vector<double> least(static_cast<size_t>(ranks), 0.1);
    CHECK(on_every_rank(mesh, least_of_ranks) == least);
  }
}

TEST_CASE("rank numbers: a sum is of a tensor-parallel group, each its own") {
  const std::vector<double> sums = on_every_rank({.tp = 2, .dp = 2}, [](Rank& rank, double) {
    return sum_over_group(rank, 1 << rank.global_index());
  });
  CHECK(sums == std::vector<double>{3, 3, 12, 12});
}

}  // namespace tplab
