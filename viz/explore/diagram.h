// The picture beside the explorer's steps: the forward pass down on the left, the backward pass up
// on the right, a box a step.
#pragma once

#include "viz/drawing/graph.h"
#include "viz/explore/recording.h"

namespace tplab::explore {

// Steps' boxes have the ids "step-0", "step-1", ..; each collective says its bytes.
Graph diagram(const Run& run);

// "all_reduce" -> "all-reduce".
std::string for_people(std::string_view name);

}  // namespace tplab::explore
