#include "viz/pictures/block_picture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "sim/algorithms/table.h"
#include "sim/text/bytes_text.h"
#include "viz/drawing/palette.h"
#include "viz/drawing/table.h"

namespace tplab {

namespace {

std::string title(const BlockOptions& options, size_t ranks) {
  return fmt::format("{}\nblock {} on {} rank{}: {}{}", options.model, options.layer, ranks,
                     ranks == 1 ? "" : "s",
                     !options.backward  ? "forward"
                     : !options.forward ? "backward"
                                        : "forward and backward",
                     options.micro_batches == 1 ? "" : ", of the first micro-batch");
}

// "forward", "backward", and "forward again" where the backward pass recomputes it.
std::string pass_of(const BlockStep& step) {
  return step.again ? "forward again" : std::string(name(step.phase));
}

std::string formula(const Event& event) {
  return std::string(find_algorithm(event.op, event.algorithm).sent.formula);
}

// --- The graph.

std::string node_id(size_t rank, const std::string& step) {
  return fmt::format("rank{}-{}", rank, step);
}

GraphNode step_node(size_t rank, const BlockStep& step) {
  GraphNode node{.id = node_id(rank, step.id)};
  node.rows.push_back({{step.operation + (step.again ? ", again" : ""), "", true}});
  if (!step.shape.empty()) node.rows.push_back({{fmt::format("{} {}", step.name, step.shape)}});
  if (!step.placement.empty()) node.rows.push_back({{step.placement}});
  for (const BlockWeight& weight : step.weights)
    if (weight.gradient) node.rows.push_back({{"+= gradient of " + weight.name}});
  if (!step.saved.empty())
    node.rows.push_back({{fmt::format("saved: {}", fmt::join(step.saved, ", "))}});
  if (node.rows.size() == 1) node.rows.push_back({{"-"}});
  node.tooltip =
      fmt::format("rank {}, {}: {} {} {} {}", rank, step.site.empty() ? "block" : step.site,
                  step.operation, step.name, step.shape, step.placement);
  node.fill = placement_colour(step.placement);
  node.border = rank_colour(static_cast<int>(rank));
  node.border_width = 2;
  node.dashed = step.operation.starts_with("from ") || step.operation == "input";
  return node;
}

GraphNode weights_node(size_t rank, const BlockStep& step) {
  GraphNode node{.id = node_id(rank, step.id + "-weights")};
  node.outline = GraphNode::Outline::none;
  node.font_size = 9;
  node.border = rank_colour(static_cast<int>(rank));
  node.rows.push_back({{"weight", "", true},
                       {"global slice", "", true},
                       {"local", "", true},
                       {"placement", "", true}});
  for (const BlockWeight& w : step.weights) {
    if (w.gradient) continue;
    const std::string placement = w.is_whole ? "invariant" : "varying";
    const std::string fill(placement_colour(placement));
    node.rows.push_back({{w.name, fill, false, true},
                         {fmt::format("{} of {}", w.slice, w.global), fill},
                         {w.local, fill},
                         {fmt::format("{} ({})", placement, w.split), fill}});
  }
  node.tooltip = fmt::format("rank {}: weights of {}", rank, step.operation);
  return node;
}

GraphNode collective_node(const std::string& id, const BlockStep& step) {
  const Event& e = *step.collective;
  GraphNode node{.id = id};
  node.rows = {
      {{fmt::format("{} ({})", step.operation, name(e.algorithm)), "", true}},
      {{fmt::format("{}, {}", step.site.empty() ? "block" : step.site, pass_of(step))}},
      {{fmt::format("S = {}: {} {}", bytes_text(e.payload_bytes), e.elements, name(e.dtype))}},
      {{fmt::format("a rank sends {} = {}", bytes_text(e.wire_bytes), formula(e))}},
      {{fmt::format("{} to {}", step.before, step.placement)}}};
  node.tooltip = fmt::format("{} at {}, {}: {} bytes, {} sent by a rank", step.operation,
                             e.site->path(), pass_of(step), e.payload_bytes, e.wire_bytes);
  node.border_width = 2.5;
  return node;
}

bool has_values(const BlockStep& step) {
  return std::any_of(step.weights.begin(), step.weights.end(),
                     [](const BlockWeight& w) { return !w.gradient; });
}

// --- The text.

std::string line_of(const std::string& glyph, int columns) {
  std::string line;
  for (int i = 0; i < columns; ++i) line += glyph;
  return line;
}

}  // namespace

Graph block_graph(const std::vector<std::vector<BlockStep>>& ranks, const BlockOptions& options) {
  Graph graph{.title = title(options, ranks.size()), .clusters_in_order = true};
  std::map<std::string, std::string> collectives;  // a rank's node id -> the shared one's
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    GraphCluster cluster{.id = fmt::format("rank{}", rank),
                         .label = fmt::format("rank {}", rank),
                         .border = std::string(rank_colour(static_cast<int>(rank))),
                         .fill = "#fbfbfb",
                         .border_width = 2};
    int calls = 0;
    for (const BlockStep& step : ranks[rank]) {
      const std::string id = node_id(rank, step.id);
      if (step.collective) {
        const std::string shared = fmt::format("collective{}", calls++);
        collectives[id] = shared;
        if (rank == 0) graph.add(collective_node(shared, step));
      } else {
        graph.add(step_node(rank, step));
        cluster.nodes.push_back(id);
      }
      if (has_values(step) && step.phase == Phase::forward) {
        const GraphNode& weights = graph.add(weights_node(rank, step));
        cluster.nodes.push_back(weights.id);
        graph.edges.push_back({.from = weights.id, .to = id, .colour = "#888888", .ranks = true});
      }
    }
    graph.clusters.push_back(std::move(cluster));
  }
  const auto shown = [&](const std::string& id) {
    const auto found = collectives.find(id);
    return found == collectives.end() ? id : found->second;
  };
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const std::string colour(rank_colour(static_cast<int>(rank)));
    const std::vector<BlockStep>& steps = ranks[rank];
    for (size_t i = 1; i < steps.size(); ++i)  // one pass stands below the other
      if (pass_of(steps[i]) != pass_of(steps[i - 1]))
        graph.edges.push_back({.from = shown(node_id(rank, steps[i - 1].id)),
                               .to = shown(node_id(rank, steps[i].id)),
                               .label = steps[i - 1].phase == Phase::forward
                                            ? "the rest of the model"
                                            : "and then backward",
                               .colour = "#888888",
                               .dashed = true});
    for (const BlockStep& step : steps)
      for (const BlockStep::From& from : step.from)
        graph.edges.push_back({.from = shown(node_id(rank, from.id)),
                               .to = shown(node_id(rank, step.id)),
                               .label = from.placement.empty() ? "" : "as " + from.placement,
                               .colour = colour,
                               .width = 1.5});
  }
  return graph;
}

std::string block_text(const std::vector<std::vector<BlockStep>>& ranks,
                       const BlockOptions& options, const TextStyle& style) {
  std::string text =
      ink(title_lines(title(options, ranks.size()), style), Ink::bold, style.colour) +
      (ranks.size() > 1 ? "(rank 0; the others do the same with their own parts)\n" : "");
  const std::string line = style.unicode ? "─" : "-", arrow = style.unicode ? "→" : "->";
  const BlockStep* last = nullptr;
  for (const BlockStep& step : ranks[0]) {
    if (!last || pass_of(*last) != pass_of(step))
      text += fmt::format("\n{}\n", ink(pass_of(step), Ink::bold, style.colour));
    last = &step;
    if (step.collective) {
      const Event& e = *step.collective;
      const std::string head = fmt::format("{} {} ", line_of(line, 2), step.operation);
      text += ink(fmt::format("{}{}\n", head,
                              line_of(line, style.columns - static_cast<int>(display_width(head)))),
                  Ink::bold, style.colour);
      text += fmt::format("   {} {} {}: S = {}, a rank sends {} = {}\n", step.before, arrow,
                          step.placement, bytes_text(e.payload_bytes), bytes_text(e.wire_bytes),
                          formula(e));
      text += ink(line_of(line, style.columns), Ink::bold, style.colour) + "\n";
      continue;
    }
    text += step.placement.empty()
                ? step.operation + "\n"
                : fmt::format("{:<26} {:<8} {:<16} {}\n", step.operation, step.name, step.shape,
                              ink(step.placement, Ink::dim, style.colour));

    for (const BlockStep::From& from : step.from)
      if (!from.placement.empty())
        text +=
            ink(fmt::format("    reads its input as {}\n", from.placement), Ink::dim, style.colour);
    if (!step.saved.empty())
      text += ink(fmt::format("    saved by the forward pass: {}\n", fmt::join(step.saved, ", ")),
                  Ink::dim, style.colour);
    for (const BlockWeight& w : step.weights) {
      const std::string what =
          fmt::format("    {}{} {}:", w.gradient ? "+= gradient of " : "", w.name, w.local);
      const std::string part = fmt::format(" {} of {}\n", w.slice, w.global);
      const bool fits = what.size() + part.size() <= static_cast<size_t>(style.columns) + 1;
      text += fmt::format("{}{}{}", what, fits ? "" : "\n       ", part);
    }
  }
  return text;
}

}  // namespace tplab
