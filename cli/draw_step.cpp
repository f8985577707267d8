// tplab draw block, model and timeline: pictures of one training step.
#include <fmt/format.h>

#include "cli/draw.h"
#include "cli/step_settings.h"
#include "sim/error.h"
#include "viz/pictures/block_picture.h"
#include "viz/pictures/model_picture.h"
#include "viz/pictures/timeline.h"

namespace tplab::cli {

namespace {

using Json = nlohmann::ordered_json;

// A step that ran without numbers, on a plan that it was held against: its weights part for part,
// its collectives one by one. What was planned and did not run, or the other way, is not drawn.
struct Ran {
  ShardPlan plan;
  StepOnMeta run;
  std::string title;
};

// On one line, whatever its path holds.
std::string name_of(const DrawSettings& settings, const WeightSource& source) {
  return one_line(settings.model.describe(source), {.columns = 1000});
}

Ran run_step(const DrawSettings& settings) {
  const std::unique_ptr<WeightSource> source = settings.open();
  StepOptions step = settings.step;
  complete(step, source->architecture());
  Ran ran{step.plan(source->architecture()), step_on_meta(*source, step),
          name_of(settings, *source)};
  trace_table(ran.plan, step, ran.run.records).require_good();
  ran.title += "\n" + describe(step);
  return ran;
}

Json json(const ModuleTraffic& traffic) {
  Json calls = Json::object();
  for (const auto& [op, count] : traffic.calls) calls[std::string(name(op))] = count;
  return {{"sync_points", traffic.sync_points()},
          {"calls", calls},
          {"payload_bytes", traffic.payload_bytes},
          {"rank_0_sends_bytes", traffic.wire_bytes}};
}

Json json(const Module& module) {
  Json doc = {
      {"name", module.name}, {"count", module.count}, {"weights_bytes", module.weight_bytes}};
  for (const Phase phase : {Phase::forward, Phase::backward, Phase::optimizer})
    doc[std::string(name(phase))] = json(module.traffic[static_cast<size_t>(phase)]);
  doc["parts"] = Json::array();
  for (const Module& part : module.parts) doc["parts"].push_back(json(part));
  return doc;
}

Json json(const BlockStep& step) {
  Json doc = {{"id", step.id},
              {"phase", name(step.phase)},
              {"recomputed", step.again},
              {"operation", step.operation},
              {"site", step.site},
              {"name", step.name},
              {"rank_shape", step.shape},
              {"placement", step.placement},
              {"weights", Json::array()},
              {"from", Json::array()},
              {"saved", step.saved}};
  for (const BlockWeight& w : step.weights)
    doc["weights"].push_back({{"name", w.name},
                              {"slice", w.slice},
                              {"rank_shape", w.local},
                              {"shape", w.global},
                              {"split", w.split},
                              {"gradient", w.gradient}});
  for (const BlockStep::From& from : step.from)
    doc["from"].push_back({{"id", from.id}, {"as", from.placement}});
  if (const auto& event = step.collective) {
    doc["payload_bytes"] = event->payload_bytes;
    doc["rank_sends_bytes"] = event->wire_bytes;
  }
  return doc;
}

}  // namespace

Drawing draw_block(const DrawSettings& settings) {
  const auto ran = std::make_shared<const Ran>(run_step(settings));
  const BlockOptions options{.model = ran->title,
                             .layer = settings.layer,
                             .forward = settings.forward(),
                             .backward = settings.backward(),
                             .micro_batches = settings.step.parallelism.accumulation};
  const auto steps = std::make_shared<const std::vector<std::vector<BlockStep>>>(
      block_steps(ran->plan, ran->run, options));
  return {
      [ran, steps, options] { return block_graph(*steps, options); },
      [ran, steps, options](const TextStyle& style) { return block_text(*steps, options, style); },
      [ran, steps, options] {
        Json doc = {{"schema", 1},
                    {"kind", "block"},
                    {"model", options.model},
                    {"layer", options.layer},
                    {"ranks", Json::array()}};
        for (const auto& rank : *steps) {
          doc["ranks"].push_back(Json::array());
          for (const BlockStep& step : rank) doc["ranks"].back().push_back(json(step));
        }
        return doc;
      }};
}

Drawing draw_model(const DrawSettings& settings) {
  const Ran ran = run_step(settings);
  const ModelOptions options{
      .model = ran.title, .depth = settings.depth, .unfold = settings.unfold};
  const auto root = std::make_shared<const Module>(module_tree(ran.plan, ran.run, options));
  return {[root, options] { return model_graph(*root, options); },
          [root, options](const TextStyle& style) { return model_text(*root, options, style); },
          [root, options] {
            Json doc = {{"schema", 1}, {"kind", "model"}, {"model", options.model}};
            doc["root"] = json(*root);
            return doc;
          }};
}

Drawing draw_timeline(const DrawSettings& settings) {
  const std::unique_ptr<WeightSource> source = settings.open();
  StepOptions step = settings.step;
  complete(step, source->architecture());
  require_step_memory(*source, step);
  const RecordedStep recorded = record_step(*source, step, name_of(settings, *source));
  const auto picture = std::make_shared<const Timeline>(timeline(recorded.run));
  return {[picture] { return timeline_graph(*picture); },
          [picture](const TextStyle& style) { return timeline_text(*picture, style); },
          [picture] { return timeline_json(*picture); }};
}

}  // namespace tplab::cli
