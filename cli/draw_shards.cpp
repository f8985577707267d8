// tplab draw shards.
#include "cli/draw.h"
#include "viz/pictures/shards_picture.h"
#include "viz/recording/step_on_meta.h"

namespace tplab::cli {

namespace {

nlohmann::ordered_json json(const Range& range) {
  return nlohmann::ordered_json::array({range.begin, range.end});
}

nlohmann::ordered_json json(const ShardsPicture& picture) {
  nlohmann::ordered_json doc = {{"schema", 1},
                                {"kind", "shards"},
                                {"model", picture.model},
                                {"tp", picture.tp},
                                {"dtype", name(picture.dtype)},
                                {"rank_bytes", picture.rank_bytes},
                                {"matrices", nlohmann::ordered_json::array()}};
  for (const ShardMatrix& m : picture.matrices) {
    nlohmann::ordered_json parts = nlohmann::ordered_json::array();
    for (const ShardPart& part : m.parts) {
      nlohmann::ordered_json one = {{"rank", part.rank},
                                    {"rows", json(part.rows)},
                                    {"cols", json(part.cols)},
                                    {"padding", part.padding}};
      if (part.rank == ShardPart::kEveryRank) one["rank"] = nullptr;
      if (!part.block.empty()) one["block"] = part.block, one["heads"] = json(part.heads);
      parts.push_back(std::move(one));
    }
    doc["matrices"].push_back({{"name", m.name},
                               {"shape", m.shape},
                               {"rank_shape", m.local_shape},
                               {"split", name(m.split, m.fused)},
                               {"placement", m.placement},
                               {"padding_rows", m.padding_rows},
                               {"rank_bytes", m.rank_bytes},
                               {"parts", std::move(parts)}});
  }
  return doc;
}

}  // namespace

// The plan is held against a run first, so that the picture is of what runs.
Drawing draw_shards(const DrawSettings& settings) {
  const std::unique_ptr<WeightSource> source = settings.open();
  StepOptions step = settings.step;
  complete(step, source->architecture());
  const ShardPlan plan = step.plan(source->architecture());
  check_same_plan(plan, step_on_meta(*source, step));
  const auto picture = std::make_shared<ShardsPicture>(
      shards_picture(plan, step.dtype, settings.model.describe(*source)));
  return {[picture] { return shards_graph(*picture); },
          [picture](const TextStyle& style) { return shards_text(*picture, style); },
          [picture] { return json(*picture); }};
}

}  // namespace tplab::cli
