// What a run's ranks show, of one replica and put together again.

#include "verify/capture.h"

#include <catch2/catch.hpp>
#include <utility>

#include "sim/machine/world.h"

namespace tplab {
namespace {

// 100 dp + 10 tp + i: numbers that say who showed them.
Array named(Rank& rank, int64_t count) {
  Array x = rank.device().allocate(DType::f64, {1, count});
  for (int64_t i = 0; i < count; ++i)
    x.as<double>()[i] = 100 * rank.dp_index() + 10 * rank.index() + static_cast<double>(i);
  return x;
}

}  // namespace

TEST_CASE(
    "a capture shows the first replica, whatever the others hold, and its tp ranks in order") {
  for (const int dp : {1, 2, 3}) {
    Capture capture({.tp = 2, .dp = dp});
    World world({.tp = 2, .dp = dp, .recorders = capture.recorders()});
    auto [shown, records] = world.run([&](Rank& rank) {
      const auto site = rank.at("mlp");
      rank.show("out", "varying", named(rank, 3), 1);
      rank.show("bias", "invariant", named(rank, 1), 1);
      rank.show("out", "varying", named(rank, 2), 1);  // again: not new
      return capture.take(rank);
    });
    const std::vector<CapturedSite> sites = captured_sites(2, std::move(shown));
    INFO("dp " << dp);
    REQUIRE(sites.size() == 2);
    CHECK(sites[0].site == "mlp/out");
    CHECK(sites[0].whole() == std::vector<double>{0, 1, 2, 10, 11, 12});
    CHECK(sites[1].per_rank == std::vector<std::vector<double>>{{0}, {10}});
    CHECK_FALSE(sites[1].replicas_identical());
  }
}

TEST_CASE("a capture keeps nothing that is shown after it was taken") {
  Capture capture({.tp = 2});
  World world({.tp = 2, .recorders = capture.recorders()});
  auto [shown, records] = world.run([&](Rank& rank) {
    rank.show("out", "varying", named(rank, 3), 1);
    const size_t before = capture.take(rank).size();
    rank.show("later", "varying", named(rank, 3), 1);
    return std::pair(before, capture.take(rank).size());
  });
  CHECK(shown == std::vector(2, std::pair(size_t{1}, size_t{0})));
}

TEST_CASE("a capture joins the ranks' parts block by block, however wide each is") {
  Capture capture({.tp = 2});
  World world({.tp = 2, .recorders = capture.recorders()});
  auto [shown, records] = world.run([&](Rank& rank) {
    const auto site = rank.at("attn");
    rank.show("qkv", "varying", named(rank, rank.index() == 0 ? 6 : 3), 3);
    return capture.take(rank);
  });
  const CapturedSite site = captured_sites(2, std::move(shown)).at(0);
  CHECK(site.shape() == Shape{1, 9});
  CHECK(site.whole() == std::vector<double>{0, 1, 10, 2, 3, 11, 4, 5, 12});
}

}  // namespace tplab
