// Graphs as files that people can look at, by way of Graphviz's programs.
#pragma once

#include <string>
#include <string_view>

#include "viz/drawing/graph.h"

namespace tplab {

// The graph in a format by its file name's ending: "svg", "png", "pdf", "dot" (which needs no
// Graphviz), or another that Graphviz can write here. SVG comes without script, comments and
// doctype, so that it may stand in a page, and is the same for every run.
// Throws Error(unavailable) if Graphviz is absent or cannot write that format here, Error(usage)
// for a bitmap that would be larger than it can write.
std::string drawn(const Graph& graph, std::string_view format);

}  // namespace tplab
