// A whole model as the tree of its modules, in the order in which they run, with what each one
// communicates. Drawn from a recorded step (flow.h) of rank 0 and the shard plan.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "viz/drawing/picture.h"
#include "viz/recording/step_on_meta.h"

namespace tplab {

struct ModelOptions {
  std::string model;    // what ran, for the title: one or more lines
  int64_t depth = 2;    // 1: embed, blocks, head; 2: with what is in them
  bool unfold = false;  // every block, else those alike as one
};

// What a module, its parts included, sends in one phase.
struct ModuleTraffic {
  std::map<Op, int64_t> calls;
  int64_t payload_bytes = 0, wire_bytes = 0;  // wire: by rank 0
  int64_t sync_points() const;
  void subtract(const ModuleTraffic& other);
  bool operator==(const ModuleTraffic&) const = default;
};

struct Module {
  std::string name;          // "attn"; "blocks 0-47" of several folded into one
  std::string site = {};     // "block 3/attn", of the first
  int64_t count = 1;         // how many are folded into it; the figures are of one
  int64_t weight_bytes = 0;  // of the rank's parts of the parameters it is the first to use
  std::array<ModuleTraffic, 3> traffic = {};  // by Phase
  std::vector<Module> parts = {};
};

// The root, whose parts are the modules in the order in which they first run. Throws Error(run)
// unless run and plan agree.
Module module_tree(const ShardPlan& plan, const StepOnMeta& run, const ModelOptions& options);

// Throws Error(usage) where there would be more boxes than one can read.
Graph model_graph(const Module& root, const ModelOptions& options);
std::string model_text(const Module& root, const ModelOptions& options, const TextStyle& style);

}  // namespace tplab
