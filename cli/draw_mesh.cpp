// tplab draw mesh.
#include "cli/draw.h"
#include "viz/pictures/mesh_picture.h"

namespace tplab::cli {

namespace {

using Json = nlohmann::ordered_json;

Json json(const MeshPicture& picture) {
  Json doc = {{"schema", 1},
              {"kind", "mesh"},
              {"model", picture.model},
              {"step", picture.step},
              {"tp", picture.mesh.tp},
              {"dp", picture.mesh.dp},
              {"groups", Json::array()}};
  for (const MeshGroup& group : picture.groups) {
    Json traffic = Json::array();
    for (const GroupTraffic& t : group.traffic)
      traffic.push_back({{"phase", name(t.phase)},
                         {"op", name(t.op)},
                         {"calls", t.calls},
                         {"payload_bytes", t.payload_bytes},
                         {"wire_bytes", t.wire_bytes}});
    doc["groups"].push_back(
        {{"axis", name(group.axis)}, {"ranks", group.ranks}, {"traffic", std::move(traffic)}});
  }
  return doc;
}

}  // namespace

Drawing draw_mesh(const DrawSettings& settings) {
  const std::unique_ptr<WeightSource> source = settings.open();
  StepOptions step = settings.step;
  complete(step, source->architecture());
  const auto picture = std::make_shared<MeshPicture>(
      mesh_picture(count_step(*source, step), step, settings.model.describe(*source)));
  return {[picture] { return mesh_graph(*picture); },
          [picture](const TextStyle& style) { return mesh_text(*picture, style); },
          [picture] { return json(*picture); }};
}

}  // namespace tplab::cli
