// Ways to split a model, against sums worked out by hand.
#include <catch2/catch.hpp>

#include "model/init.h"
#include "viz/compare_picture.h"

using namespace tplab;
using Catch::Contains;

namespace {

const GptConfig kConfig{
    .n_layer = 4, .n_head = 4, .n_embd = 16, .block_size = 8, .vocab_size = 50, .n_inner = 64};

ComparePicture compared(int tp, int64_t seq) {
  StepOptions options{.tp = tp, .batch = 2, .seq = seq};
  const auto source = initial_weights(kConfig, {.seed = 1});
  complete(options, kConfig);
  return compare_picture(*source, options, "t");
}

TEST_CASE("compare: each way's sync points and bytes, by hand") {
  const ComparePicture picture = compared(4, 8);
  REQUIRE(picture.ways.size() == 4);
  const WayToSplit &naive = picture.ways[0], &tp = picture.ways[1], &sp = picture.ways[2],
                   &pipeline = picture.ways[3];
  // S = 2 * 8 * 16 = 256 numbers of 4 bytes; n = 4, so a gather sends 3/4 and a sum 3/2 of it.
  constexpr double kS = 256 * 4;
  // A block gathers 3 S + S + 4 S + S; the head 16 rows of 50 logits.
  CHECK(naive.forward.sync_points == 4 * 4 + 1);
  CHECK(naive.forward.bytes == Approx(0.75 * (4 * 9 * kS + 16 * 50 * 4)));
  // A block sums S + S + S + 4 S; the head S.
  CHECK(naive.backward.sync_points == 4 * 4 + 1);
  CHECK(naive.backward.bytes == Approx(1.5 * (4 * 7 * kS + kS)));
  // Shoeybi et al.: 2 a block, the embedding, and the loss' three sums of 16 numbers.
  CHECK(tp.counted);
  CHECK(tp.forward.sync_points == 2 * 4 + 1 + 3);
  CHECK(tp.forward.bytes == Approx(1.5 * (9 * kS + 3 * 16 * 4)));
  CHECK(tp.backward.sync_points == 2 * 4 + 1);
  CHECK(tp.backward.bytes == Approx(1.5 * 9 * kS));
  // Korthikanti et al.: two gathers and two scatters a block, half the bytes each.
  CHECK(sp.counted);
  CHECK(sp.forward.sync_points == 4 * 4 + 1 + 1 + 3);
  CHECK(sp.forward.bytes == Approx(0.75 * 17 * kS + 1.5 * (kS + 3 * 16 * 4)));
  // 3 of 4 stages send S; and back, with the tied embedding's 50 * 16 summed between two.
  CHECK(pipeline.forward.sync_points == 2);
  CHECK(pipeline.forward.bytes == Approx(3 * kS / 4));
  CHECK(pipeline.backward.sync_points == 3);
  CHECK(pipeline.backward.bytes == Approx(3 * kS / 4 + 2 * 50 * 16 * 4 / 4.0));
}

TEST_CASE("compare: what these sizes cannot be split into is said, in its row") {
  CHECK_THAT(compared(4, 6).ways[2].why_not, Contains("--sp splits 6 positions over 4 ranks"));
  GptConfig shallow = kConfig;
  shallow.n_layer = 2;
  StepOptions options{.tp = 4, .batch = 1, .seq = 8};
  complete(options, shallow);
  const ComparePicture picture =
      compare_picture(*initial_weights(shallow, {.seed = 1}), options, "t");
  CHECK(picture.ways[3].why_not == "2 blocks make no 4 stages");
  CHECK_THAT(compare_text(picture, {}), Contains("2 blocks make no 4 stages"));
}

TEST_CASE("compare: one rank sends nothing") {
  for (const WayToSplit& way : compared(1, 8).ways) {
    INFO(way.name);
    CHECK(way.forward.sync_points + way.backward.sync_points == 0);
    CHECK(way.bytes() == 0);
  }
}

}  // namespace
