// A picture as boxes and arrows, written in Graphviz's language: laid out by Graphviz, or to scale
// where every box says its place.
//
// Texts are UTF-8 of any kind: they are escaped, and never become markup. Ids must be unique; they
// become the ids of the SVG's elements. Equal graphs give equal bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tplab {

// In points, 72 to the inch; y grows downwards.
struct Box {
  double x = 0, y = 0, width = 0, height = 0;
};

// A part of a node's table. Colours are "#rrggbb"; an empty fill is the node's.
struct GraphCell {
  std::string text;  // '\n' begins a line
  std::string fill = {};
  bool bold = false, left = false;  // left: else centred
};

struct GraphNode {
  enum class Outline { box, ellipse, none };

  std::string id;
  std::vector<std::vector<GraphCell>> rows = {};  // at least one cell; a row may have fewer than
                                                  // others; several columns have lines between
  std::string tooltip = {};
  std::string fill = "#ffffff", border = "#000000", ink = "#000000";
  double border_width = 1;
  Outline outline = Outline::box;
  bool dashed = false;
  double font_size = 11;
  std::optional<Box> at = {};  // in a graph to scale: every node has it
};

// Text from the left, without a box around it.
GraphNode text_node(std::string id, const std::string& text, const Box& at, double font_size,
                    bool bold);

struct GraphEdge {
  std::string from, to;  // node ids
  std::string label = {}, tooltip = {};
  std::string colour = "#333333";
  double width = 1;
  bool dashed = false, arrow = true;
  bool ranks = true;  // false: does not decide which node is above which
};

struct GraphCluster {
  std::string id;
  std::string label;
  std::vector<std::string> nodes = {};  // ids
  std::string border = "#999999", fill = "#ffffff";
  double border_width = 1;
};

struct Graph {
  std::string title;
  std::vector<GraphNode> nodes = {};
  std::vector<GraphEdge> edges = {};
  std::vector<GraphCluster> clusters = {};
  bool left_to_right = false;  // else from top to bottom
  // drawn() makes clusters stand from left to right; they are alike, node by node.
  bool clusters_in_order = false;

  bool to_scale() const { return !nodes.empty() && nodes.front().at.has_value(); }
  GraphNode& add(GraphNode node) { return nodes.emplace_back(std::move(node)); }
};

// The graph in Graphviz's language, for `dot`, or to scale for `neato -n2`.
std::string dot_text(const Graph& graph);

// Text as Graphviz's strings and SVG take it: &, <, > and quotes as entities, backslashes kept from
// meaning anything, control characters and what is not UTF-8 as U+FFFD; '\n' stays.
std::string escaped_markup(std::string_view text);

}  // namespace tplab
