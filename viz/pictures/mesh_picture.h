// The dp x tp mesh: its ranks, its groups, and what each group communicates in a training step.
#pragma once

#include <string>
#include <vector>

#include "viz/drawing/picture.h"
#include "viz/recording/recorded_step.h"

namespace tplab {

// The collectives of one kind that a group made in a step.
struct GroupTraffic {
  Phase phase;
  Op op;
  int64_t calls = 0;
  int64_t payload_bytes = 0;  // of the tensors, each counted once
  int64_t wire_bytes = 0;     // sent by all ranks of the group together
  bool operator==(const GroupTraffic&) const = default;
};

struct MeshGroup {
  Axis axis;
  std::vector<int> ranks;                  // by global index
  std::vector<GroupTraffic> traffic = {};  // by phase, in the order of first calls
};

struct MeshPicture {
  std::string model, step;  // how people call them
  Mesh mesh;
  std::vector<MeshGroup> groups;  // tp groups, then dp groups; none of a single rank
};

// What the ranks of a run made with these options counted, by global index (count_step).
// Throws Error(run) if the ranks of a group did not make the same calls, or another number of
// ranks than the group has took part.
MeshPicture mesh_picture(const std::vector<RankRecord>& ranks, const StepOptions& options,
                         std::string model);

Graph mesh_graph(const MeshPicture& picture);
std::string mesh_text(const MeshPicture& picture, const TextStyle& style);

}  // namespace tplab
