// The mesh's groups and what they send, against the papers' counts worked out by hand.
#include "viz/mesh_picture.h"

#include <catch2/catch.hpp>

#include "model/init.h"
#include "sim/error.h"

using namespace tplab;
using Catch::Contains;

namespace {

const GptConfig kConfig{.n_layer = 3,
                        .n_head = 4,
                        .n_embd = 16,
                        .block_size = 8,
                        .vocab_size = 50,
                        .n_inner = 64,
                        .bias = true};

StepOptions step(int tp, int dp) {
  StepOptions options;
  options.tp = tp, options.dp = dp, options.batch = 2 * dp, options.seq = 8;
  complete(options, kConfig);
  return options;
}

std::vector<RankRecord> ran(const StepOptions& options) {
  return count_step(*initial_weights(kConfig, {.seed = 1}), options);
}

TEST_CASE("mesh: tp groups are rows of ranks, dp groups columns") {
  const StepOptions options = step(2, 3);
  const MeshPicture picture = mesh_picture(ran(options), options, "m");
  std::vector<std::vector<int>> tp, dp;
  for (const MeshGroup& group : picture.groups)
    (group.axis == Axis::tp ? tp : dp).push_back(group.ranks);
  CHECK(tp == std::vector<std::vector<int>>{{0, 1}, {2, 3}, {4, 5}});
  CHECK(dp == std::vector<std::vector<int>>{{0, 2, 4}, {1, 3, 5}});
}

// Forward: 2 L + 1 all-reduces of [B, T, C] f32 and 3 of [B, T] f64 or f32 for the loss; backward
// 2 L + 1. Two ranks send 2 (n-1) of a tensor together.
TEST_CASE("mesh: a tp group of 2 makes Shoeybi's all-reduces, of B T C numbers") {
  const StepOptions options = step(2, 1);
  const MeshPicture picture = mesh_picture(ran(options), options, "m");
  REQUIRE(picture.groups.size() == 1);
  const auto& traffic = picture.groups[0].traffic;
  REQUIRE(traffic.size() == 3);
  const int64_t stream = int64_t{2} * 8 * 16 * 4;
  CHECK(traffic[0].calls == 2 * 3 + 1 + 3);
  CHECK(traffic[0].payload_bytes > 7 * stream);
  CHECK(traffic[1] == GroupTraffic{Phase::backward, Op::all_reduce, 7, 7 * stream, 2 * 7 * stream});
  CHECK(traffic[2].phase == Phase::optimizer);
  CHECK(traffic[2].calls == 1);
}

TEST_CASE("mesh: one rank communicates with nobody") {
  const StepOptions options = step(1, 1);
  const MeshPicture picture = mesh_picture(ran(options), options, "m");
  CHECK(picture.groups.empty());
  CHECK_THAT(mesh_text(picture, {}), Contains("communicates with nobody"));
}

TEST_CASE("mesh: a mesh that is not the run's is refused") {
  const StepOptions options = step(4, 1);
  CHECK_THROWS_WITH(mesh_picture(ran(options), step(2, 2), "m"),
                    Contains("4 ranks took part in a collective"));
  CHECK_THROWS_WITH(mesh_picture(ran(options), step(2, 1), "m"),
                    Contains("1 x 2 is drawn, and 4 ranks ran"));
  auto ranks = ran(options);
  ranks[2].ledger.clear();
  CHECK_THROWS_WITH(mesh_picture(ranks, options, "m"),
                    Contains("rank 2 made other calls than rank 0"));
}

}  // namespace
