// tplab draw compare.
#include "cli/draw.h"
#include "viz/pictures/compare_picture.h"

namespace tplab::cli {

namespace {

using Json = nlohmann::ordered_json;

Json json(const Scheme& scheme) {
  Json doc = {{"name", scheme.name}, {"counted", scheme.counted}};
  if (!scheme.refused.empty()) {
    doc["refused"] = scheme.refused;
    return doc;
  }
  for (const Phase phase : {Phase::forward, Phase::backward, Phase::optimizer}) {
    const SchemePhase& p = scheme.phases[static_cast<size_t>(phase)];
    doc[std::string(name(phase))] = {{"sync_points", p.sync_points}, {"wire_bytes", p.wire_bytes}};
  }
  doc["sync_points"] = scheme.sync_points();
  doc["wire_bytes"] = scheme.wire_bytes();
  doc["activation_bytes"] = scheme.activation_bytes < 0 ? Json() : Json(scheme.activation_bytes);
  doc["note"] = scheme.note;
  return doc;
}

Json json(const Comparison& comparison) {
  Json doc = {{"schema", 1},
              {"kind", "compare"},
              {"model", comparison.model},
              {"step", comparison.step},
              {"ranks", comparison.ranks},
              {"schemes", Json::array()}};
  for (const Scheme& scheme : comparison.schemes) doc["schemes"].push_back(json(scheme));
  return doc;
}

}  // namespace

Drawing draw_compare(const DrawSettings& settings) {
  const std::unique_ptr<WeightSource> source = settings.open();
  const auto comparison = std::make_shared<Comparison>(
      compare_schemes(*source, settings.step, settings.model.describe(*source)));
  return {[comparison] { return comparison_graph(*comparison); },
          [comparison](const TextStyle& style) { return comparison_text(*comparison, style); },
          [comparison] { return json(*comparison); }};
}

}  // namespace tplab::cli
