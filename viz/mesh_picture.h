// The dp x tp mesh: its ranks, its groups, and what each kind of group communicates in one training
// step, counted in a run on the meta device.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "viz/picture.h"
#include "viz/step_on_meta.h"

namespace tplab {

// The collectives of one operation over one axis in one phase; what a rank takes part in.
struct MeshTraffic {
  Axis axis;
  Phase phase;
  Op op;
  int64_t calls = 0;
  int64_t payload_bytes = 0;
  double wire_bytes = 0;  // a rank, on average
};

struct MeshPicture {
  std::string title;  // one or more lines
  int tp, dp;
  std::vector<MeshTraffic> traffic;  // by axis, phase, operation
};

// REQUIRES: the run is of options.
MeshPicture mesh_picture(const StepOnMeta& run, const StepOptions& options,
                         const std::string& title);

Graph mesh_graph(const MeshPicture& picture);
std::string mesh_text(const MeshPicture& picture, const TextStyle& style);

}  // namespace tplab
