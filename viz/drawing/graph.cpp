#include "viz/drawing/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <utility>

namespace tplab {

namespace {

constexpr const char* kFont = "DejaVu Sans,Verdana,sans-serif";
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// How many bytes the character at the front has, 0 where it is not UTF-8.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t length = first < 0x80                     ? 1
                        : first >= 0xC2 && first <= 0xDF ? 2
                        : first >= 0xE0 && first <= 0xEF ? 3
                        : first >= 0xF0 && first <= 0xF4 ? 4
                                                         : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool no_character = (first == 0xED && byte(1) > 0x9F) || (first == 0xF4 && byte(1) > 0x8F);
  return overlong || no_character ? 0 : length;
}

// A quoted string of the language, in which '\n' is a line's end and entities are read.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : escaped_markup(text)) {
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string cell_markup(const GraphCell& cell, size_t columns) {
  std::string out = "<td";
  if (columns > 1) out += fmt::format(" colspan=\"{}\"", columns);
  if (!cell.fill.empty()) out += fmt::format(" bgcolor=\"{}\"", cell.fill);
  if (cell.left) out += " align=\"left\" balign=\"left\"";
  out += cell.bold ? "><b>" : ">";
  for (char c : escaped_markup(cell.text)) {
    if (c == '\n') {
      out += "<br/>";
    } else {
      out += c;
    }
  }
  return out + (cell.bold ? "</b></td>" : "</td>");
}

// A table for several cells, so that they line up; one cell needs none but is written the same way.
std::string label_markup(const GraphNode& node) {
  size_t widest = 1;
  for (const auto& row : node.rows) widest = std::max(widest, row.size());
  const bool table = widest > 1;  // of one column it is a text
  // A text that stands on the left of its place is as wide as that; others on its middle.
  const std::string width =
      node.at && node.outline == GraphNode::Outline::none && node.rows[0][0].left
          ? fmt::format(" width=\"{:.0f}\"", node.at->width)
          : "";
  std::string out = fmt::format(
      "<<table{} border=\"0\" cellborder=\"{}\" cellspacing=\"0\" cellpadding=\"{}\" color=\"{}\">",
      width, table ? 1 : 0,
      node.at ? 0
      : table ? 5
              : 3,
      node.border);
  for (const auto& row : node.rows) {
    out += "<tr>";
    for (size_t i = 0; i < row.size(); ++i)
      out += cell_markup(row[i], i + 1 == row.size() ? widest - i : 1);
    out += "</tr>";
  }
  return out + "</table>>";
}

std::string_view shape(const GraphNode& node) {
  switch (node.outline) {
    case GraphNode::Outline::box:
      return "box";
    case GraphNode::Outline::ellipse:
      return "ellipse";
    case GraphNode::Outline::none:
      return "plain";
  }
  return "box";
}

std::string node_line(const GraphNode& node) {
  assert(!node.rows.empty() && !node.rows.front().empty());
  std::string line = fmt::format(
      "  {} [id={}, label={}, shape={}, style=\"{}{}\", fillcolor=\"{}\", color=\"{}\", "
      "penwidth={}, fontcolor=\"{}\", fontsize={}, tooltip={}",
      quoted(node.id), quoted(node.id), label_markup(node), shape(node),
      node.outline == GraphNode::Outline::none ? "" : "filled", node.dashed ? ",dashed" : "",
      node.fill, node.border, node.border_width, node.ink, node.font_size,
      quoted(node.tooltip.empty() ? node.id : node.tooltip));
  if (const auto& at = node.at) {
    line += fmt::format(", pos=\"{:.2f},{:.2f}\"", at->x + at->width / 2, -at->y - at->height / 2);
    if (node.outline != GraphNode::Outline::none)
      line += fmt::format(", width={:.4f}, height={:.4f}, fixedsize=true, margin=0", at->width / 72,
                          at->height / 72);
  }
  return line + "];\n";
}

std::string edge_line(const GraphEdge& edge, size_t number) {
  std::string line =
      fmt::format("  {} -> {} [id=\"edge_{}\", color=\"{}\", penwidth={}, tooltip={}",
                  quoted(edge.from), quoted(edge.to), number, edge.colour, edge.width,
                  quoted(edge.tooltip.empty() ? edge.from + " to " + edge.to : edge.tooltip));
  if (!edge.label.empty()) line += fmt::format(", label={}", quoted(" " + edge.label + " "));
  if (edge.dashed) line += ", style=dashed";
  if (!edge.arrow) line += ", dir=none";
  if (!edge.ranks) line += ", constraint=false";
  return line + "];\n";
}

// Graphviz puts a name into the SVG's title as it is, so it is one line.
std::string graph_name(std::string title) {
  for (size_t at; (at = title.find('\n')) != std::string::npos;) title.replace(at, 1, ", ");
  return title;
}

// Laid out by Graphviz, a picture has its title above it.
std::string heading(const Graph& graph) {
  if (graph.to_scale()) return ", splines=line";
  std::string lines = escaped_markup(graph.title), left;
  for (const char c : lines) left += c == '\n' ? "\\l" : std::string(1, c);
  return fmt::format(", label=\"{}\\l\", labelloc=t, labeljust=l", left);
}

std::string cluster_lines(const GraphCluster& cluster) {
  std::string out = fmt::format(
      "  subgraph {} {{\n    id={}; label={}; labeljust=l; tooltip={}; color=\"{}\"; penwidth={}; "
      "style=\"rounded,filled\"; fillcolor=\"{}\";\n   ",
      quoted("cluster_" + cluster.id), quoted(cluster.id), quoted(cluster.label),
      quoted(cluster.label), cluster.border, cluster.border_width, cluster.fill);
  for (const std::string& node : cluster.nodes) out += fmt::format(" {};", quoted(node));
  return out + "\n  }\n";
}

}  // namespace

GraphNode text_node(std::string id, const std::string& text, const Box& at, double font_size,
                    bool bold) {
  return {.id = std::move(id),
          .rows = {{{text, "", bold, true}}},
          .tooltip = text,
          .border = "#ffffff",
          .outline = GraphNode::Outline::none,
          .font_size = font_size,
          .at = at};
}

std::string escaped_markup(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const char c = text.front();
    if (length == 0 || ((c >= 0 && c < ' ') && c != '\n') || c == '\x7f') {
      out += kReplacement;
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (c == '\\') {
      out += "&#92;&#8203;";  // Graphviz takes "\\N" for the node's name: a space of no width
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

std::string dot_text(const Graph& graph) {
  std::string out = fmt::format(
      "digraph {} {{\n"
      "  graph [charset=\"utf-8\", fontname=\"{}\", fontsize=12, tooltip={}, rankdir={}, "
      "newrank=true, nodesep=0.2, ranksep=0.3, bgcolor=\"#ffffff\"{}];\n"
      "  node [fontname=\"{}\", margin=\"0.06,0.03\"];\n"
      "  edge [fontname=\"{}\", fontsize=9, arrowsize=0.7];\n",
      quoted(graph_name(graph.title)), kFont, quoted(graph.title),
      graph.left_to_right ? "LR" : "TB", heading(graph), kFont, kFont);
  for (const GraphNode& node : graph.nodes) out += node_line(node);
  for (const GraphCluster& cluster : graph.clusters) out += cluster_lines(cluster);
  for (size_t i = 0; i < graph.edges.size(); ++i) out += edge_line(graph.edges[i], i);
  return out + "}\n";
}

}  // namespace tplab
