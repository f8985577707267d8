// Who holds what, and who speaks to whom: against parts and groups worked out by hand.
#include <catch2/catch.hpp>

#include "model/init.h"
#include "sim/error.h"
#include "small_model.h"
#include "viz/pictures/mesh_picture.h"
#include "viz/pictures/shards_picture.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

const ShardMatrix& matrix(const ShardsPicture& picture, const std::string& name) {
  for (const ShardMatrix& m : picture.matrices)
    if (m.name.ends_with(name)) return m;
  FAIL("no " << name);
  return picture.matrices.front();
}

std::string text(const ShardPart& p) {
  return p.block + std::to_string(p.rank) + " " + std::to_string(p.rows.begin) + ":" +
         std::to_string(p.rows.end) + ", " + std::to_string(p.cols.begin) + ":" +
         std::to_string(p.cols.end) + (p.padding ? " padding" : "");
}

std::vector<std::string> texts(const ShardMatrix& m) {
  std::vector<std::string> all;
  for (const ShardPart& part : m.parts) all.push_back(text(part));
  return all;
}
using Texts = std::vector<std::string>;

TEST_CASE("shards: fused QKV is split by head, in each of its blocks") {
  const ShardsPicture picture = shards_picture(ShardPlan(kSmallModel, 2), DType::f32, "m");
  const ShardMatrix& qkv = matrix(picture, "attn.c_attn.weight");
  CHECK(texts(qkv) == Texts{"q0 0:8, 0:16", "q1 8:16, 0:16", "k0 16:24, 0:16", "k1 24:32, 0:16",
                            "v0 32:40, 0:16", "v1 40:48, 0:16"});
  CHECK((qkv.parts[3].heads.begin == 2 && qkv.parts[3].heads.end == 4));
  CHECK(qkv.rank_bytes == 24 * 16 * 4);
}

TEST_CASE("shards: rows, columns, the whole, and a vocabulary with its padding") {
  const ShardsPicture picture = shards_picture(ShardPlan(kSmallModel, 2), DType::f64, "m");
  CHECK(texts(matrix(picture, "mlp.c_fc.weight")) == Texts{"0 0:32, 0:16", "1 32:64, 0:16"});
  CHECK(texts(matrix(picture, "mlp.c_proj.weight")) == Texts{"0 0:16, 0:32", "1 0:16, 32:64"});
  CHECK(texts(matrix(picture, "ln_f.weight")) == Texts{"-1 0:16, 0:1"});
  // 70, padded to a multiple of 64 * 2: 128, so rank 1 has 6 rows and 58 of padding.
  const ShardMatrix& wte = matrix(picture, "wte.weight");
  CHECK(texts(wte) == Texts{"0 0:64, 0:16", "1 64:70, 0:16", "1 70:128, 0:16 padding"});
  CHECK(wte.padding_rows == 58);
  CHECK_THAT(shards_text(picture, {}), Contains("the last 58 rows are padding"));
}

TEST_CASE("shards: a plan that leaves numbers out or gives them twice is refused") {
  const auto refused = [](const std::string& tensor, const auto& edit) {
    ShardPlan plan(kSmallModel, 2);
    for (ParameterRow& row : plan.rows())
      if (row.tensor.ends_with(tensor)) edit(row);
    std::string why;
    try {
      (void)shards_picture(plan, DType::f32, "m");
    } catch (const Error& error) {
      why = error.problem();
    }
    return why;
  };
  CHECK(refused("mlp.c_fc.weight", [](ParameterRow& row) { row.split = Split::rows; }).empty());
  // q, k and v lie over each other.
  CHECK_THAT(refused("h.0.attn.c_attn.weight", [](ParameterRow& row) { row.first_row /= 2; }),
             Contains("the plan of") && Contains("gives the same numbers"));
  CHECK_THAT(refused("h.0.mlp.c_fc.weight", [](ParameterRow& row) { row.shape[0] -= 8; }),
             Contains("the plan of") && Contains("of its 1024 numbers"));
}

MeshPicture mesh(const StepOptions& options, std::vector<RankRecord>* records = nullptr) {
  std::vector<RankRecord> ranks = count_step(*initial_weights(kSmallModel, {.seed = 1}), options);
  MeshPicture picture = mesh_picture(ranks, options, "m");
  if (records) *records = std::move(ranks);
  return picture;
}

TEST_CASE("mesh: rows are tp groups, columns dp groups, and each has its own collectives") {
  StepOptions options{.parallelism = {.tp = 2, .dp = 3}, .batch = 3, .seq = 8};
  complete(options, kSmallModel);
  const MeshPicture picture = mesh(options);
  REQUIRE(picture.groups.size() == 3 + 2);
  CHECK(picture.groups[1].ranks == std::vector<int>{2, 3});
  CHECK(picture.groups[4].ranks == std::vector<int>{1, 3, 5});
  int64_t forward = 0, of_replicas = 0, sent = 0;
  for (const GroupTraffic& t : picture.groups[1].traffic)
    if (t.phase == Phase::forward) forward += t.calls;
  for (const GroupTraffic& t : picture.groups[4].traffic) {
    of_replicas += t.payload_bytes;
    sent += t.wire_bytes;
  }
  CHECK(forward == 2 * 2 + 1 + 3);  // two a block, the embedding, the loss
  // The gradients of all that a rank holds, gaps included, and the loss.
  const FlatLayout layout(ShardPlan(kSmallModel, 2), 0, 3);
  CHECK(of_replicas == layout.count() * 4 + 8);
  CHECK(sent == 2 * 2 * of_replicas);  // all-reduces: n - 1 times each number, twice
  CHECK(mesh({.batch = 1, .seq = 8}).groups.empty());
}

TEST_CASE("mesh: records of another mesh are refused") {
  StepOptions options{.parallelism = {.tp = 2, .dp = 2}, .batch = 2, .seq = 8};
  std::vector<RankRecord> records;
  (void)mesh(options, &records);
  StepOptions other = options;
  other.parallelism.dp = 1;
  CHECK_THROWS_WITH(mesh_picture(records, other, "m"), Contains("and 4 ranks ran"));
  other.parallelism.tp = 4;
  CHECK_THROWS_WITH(mesh_picture(records, other, "m"), Contains("2 ranks took part"));
  records[1].ledger.clear();
  CHECK_THROWS_WITH(mesh_picture(records, options, "m"),
                    Contains("rank 1 made other calls than rank 0"));
}

}  // namespace
