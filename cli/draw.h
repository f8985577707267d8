// `tplab draw`: what its kinds of picture share. A kind is a function from settings to a Drawing
// and a row of the table in draw.cpp.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "viz/drawing/picture.h"
#include "viz/recording/recorded_step.h"

namespace tplab::cli {

// Every option of every kind. What a kind does not use keeps its default.
struct DrawSettings {
  ModelChoice model;
  MachineChoice machine;
  StepOptions step;  // its parallelism, batch, seq, dtype and algorithm
  std::string dtype = "f32", algorithm = "direct";
  std::string phase = "both";  // forward, backward or both
  std::string op = "all_reduce";
  int64_t depth = 2, layer = 0;
  bool unfold = false;

  bool forward() const { return phase != "backward"; }
  bool backward() const { return phase != "forward"; }
  // The model, whose weights are not read: pictures need its sizes and names alone.
  std::unique_ptr<WeightSource> open() const { return model.open(step.seed); }
};

// A picture in each of its forms, made only if asked for.
struct Drawing {
  std::function<Graph()> graph;
  std::function<std::string(const TextStyle&)> text;
  std::function<nlohmann::ordered_json()> numbers;  // for --json
};

struct DrawKind {
  std::string_view name, help;
  std::string options;  // those that it uses, with spaces between them
  int tp;               // unless --tp says otherwise
  // Throws Error for what cannot be drawn.
  Drawing (*draw)(const DrawSettings& settings);
};

// What `tplab draw KIND --help` shows.
std::string draw_help(const CLI::App& draw, const std::string& kind);

Drawing draw_collective(const DrawSettings& settings);
Drawing draw_compare(const DrawSettings& settings);
Drawing draw_mesh(const DrawSettings& settings);
Drawing draw_shards(const DrawSettings& settings);
// draw_step.cpp. Throw Error(run) for a step that did not run as planned.
Drawing draw_block(const DrawSettings& settings);
Drawing draw_model(const DrawSettings& settings);
Drawing draw_timeline(const DrawSettings& settings);

}  // namespace tplab::cli
