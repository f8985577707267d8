#include "viz/pictures/model_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "sim/error.h"
#include "sim/text/bytes_text.h"
#include "viz/drawing/fold.h"
#include "viz/drawing/table.h"

namespace tplab {

namespace {

constexpr std::array kPhases = {Phase::forward, Phase::backward, Phase::optimizer};
constexpr int64_t kMostBoxes = 120;

ModuleTraffic& traffic_of(Module& module, Phase phase) {
  return module.traffic[static_cast<size_t>(phase)];
}
const ModuleTraffic& traffic_of(const Module& module, Phase phase) {
  return module.traffic[static_cast<size_t>(phase)];
}

// The part of this name, made if there is none. What runs in no module has a part of its own.
Module& part_of(Module& parent, const std::string& name) {
  for (Module& part : parent.parts)
    if (part.name == name) return part;
  const std::string site = parent.site.empty() ? name : parent.site + "/" + name;
  parent.parts.push_back({.name = name, .site = site});
  return parent.parts.back();
}

// Adds a step to every module on the way to its site, as deep as is drawn.
class TreeBuilder {
 public:
  TreeBuilder(const ShardPlan& plan, DType dtype, int64_t depth)
      : plan_(plan), dtype_(dtype), depth_(depth) {}

  void add(const FlowStep& step) {
    if (!step.collective && step.weights.empty()) return;
    std::vector<Module*> way = {&root_};
    std::string rest = place_of(step, plan_);
    while (!rest.empty() && std::ssize(way) <= depth_) {
      const size_t slash = rest.find('/');
      way.push_back(&part_of(*way.back(), rest.substr(0, slash)));
      rest = slash == std::string::npos ? "" : rest.substr(slash + 1);
    }
    for (size_t level = 0; level < way.size(); ++level) {
      Module* const module = way[level];
      for (const FlowWeight& weight : step.weights)
        if (counted_.emplace(level, weight.row).second)
          module->weight_bytes += bytes_of(weight.row);
      if (const auto& event = step.collective) {
        ModuleTraffic& traffic = traffic_of(*module, step.phase);
        ++traffic.calls[event->op];
        traffic.payload_bytes += event->payload_bytes;
        traffic.wire_bytes += event->wire_bytes;
      }
    }
  }
  Module take() && { return std::move(root_); }

 private:
  int64_t bytes_of(size_t row) const {
    return size_bytes(dtype_) * plan_.local_shape(plan_.tensor_of(row), 0).count();
  }

  const ShardPlan& plan_;
  const DType dtype_;
  const int64_t depth_;
  Module root_;
  // A weight counts once at each level: a tied head's is the embedding's.
  std::set<std::pair<size_t, size_t>> counted_;
};

// What a module with parts sends in none of them becomes a part as well.
void show_own(Module& module) {
  if (module.parts.empty()) return;
  Module own{.name = module.name + " itself", .site = module.site + "/."};
  bool sends = false;
  for (const Phase phase : kPhases) {
    ModuleTraffic& rest = traffic_of(own, phase) = traffic_of(module, phase);
    for (const Module& part : module.parts) rest.subtract(traffic_of(part, phase));
    sends = sends || rest.sync_points() > 0;
  }
  for (Module& part : module.parts) show_own(part);
  if (sends) module.parts.insert(module.parts.begin(), std::move(own));
}

bool alike(const Module& a, const Module& b) {
  return a.weight_bytes == b.weight_bytes && a.traffic == b.traffic &&
         std::equal(
             a.parts.begin(), a.parts.end(), b.parts.begin(), b.parts.end(),
             [](const Module& x, const Module& y) { return x.name == y.name && alike(x, y); });
}

int64_t boxes(const Module& module) {
  int64_t count = 1;
  for (const Module& part : module.parts) count += boxes(part);
  return count;
}

// "2 all_reduce"
std::string calls_text(const ModuleTraffic& traffic) {
  std::string text;
  for (const auto& [op, count] : traffic.calls)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, name(op));
  return text;
}

// --- The graph.

GraphNode module_node(const Module& module, const std::string& heading) {
  GraphNode node{.id = module.site.empty() ? "total" : module.site};
  node.outline = GraphNode::Outline::none;
  node.border = "#555555";
  std::string head = heading;
  if (module.weight_bytes > 0)
    head += fmt::format("\nweights of rank 0: {}", bytes_text(module.weight_bytes));
  node.rows.push_back({{head, "#eeeeee", true}});
  for (const Phase phase : kPhases) {
    const ModuleTraffic& traffic = traffic_of(module, phase);
    if (traffic.sync_points() == 0) continue;
    node.rows.push_back(
        {{std::string(name(phase)), "", false, true},
         {calls_text(traffic), "#f5d08a", true, true},
         {bytes_text(traffic.payload_bytes), "", false, true},
         {fmt::format("rank 0 sends {}", bytes_text(traffic.wire_bytes)), "", false, true}});
  }
  node.tooltip = fmt::format("{}: {} sync points forward, {} backward", heading,
                             traffic_of(module, Phase::forward).sync_points(),
                             traffic_of(module, Phase::backward).sync_points());
  return node;
}

std::string heading(const Module& module) {
  return module.count == 1 ? module.name
                           : fmt::format("{}: {} alike, each", module.name, module.count);
}

// A module with parts is a frame around them. Returns the first and the last box in it.
std::pair<std::string, std::string> draw(Graph& graph, const Module& module) {
  if (module.parts.empty()) {
    const std::string id = graph.add(module_node(module, heading(module))).id;
    return {id, id};
  }
  GraphCluster cluster{.id = "frame " + module.site, .label = heading(module)};
  std::string first, last;
  for (const Module& part : module.parts) {
    const auto [begin, end] = draw(graph, part);
    if (first.empty()) {
      first = begin;
    } else {
      graph.edges.push_back({.from = last, .to = begin, .width = 1.5});
    }
    last = end;
    cluster.nodes.push_back(begin);
    if (end != begin) cluster.nodes.push_back(end);
  }
  graph.clusters.push_back(std::move(cluster));
  return {first, last};
}

// --- The text.

void add_lines(std::string& text, const Module& module, int depth, const TextStyle& style) {
  const std::string indent(static_cast<size_t>(2 * depth), ' ');
  const std::string weights =
      module.weight_bytes > 0 ? fmt::format("{} of weights", bytes_text(module.weight_bytes)) : "";
  std::string line = fmt::format("{:<44}{:>20}", indent + heading(module), weights);
  line.erase(line.find_last_not_of(' ') + 1);
  text += (depth == 0 ? ink(line, Ink::bold, style.colour) : line) + "\n";
  if (module.parts.empty() || depth == 0) {
    for (const Phase phase : kPhases) {
      const ModuleTraffic& traffic = traffic_of(module, phase);
      if (traffic.sync_points() == 0) continue;
      const std::string start =
          fmt::format("{}  {} {:<9} ", indent, style.unicode ? "●" : "*", name(phase));
      const std::string what =
          fmt::format("{} of {};", calls_text(traffic), bytes_text(traffic.payload_bytes));
      const std::string sent = fmt::format(" rank 0 sends {}\n", bytes_text(traffic.wire_bytes));
      const size_t before = display_width(start);
      const bool fits = before + display_width(what) + display_width(sent) <=
                        static_cast<size_t>(style.columns) + 1;
      text += fmt::format("{}{}{}{}", start, what,
                          fits ? "" : fmt::format("\n{:{}}", "", before - 1), sent);
    }
  }
  for (const Module& part : module.parts) add_lines(text, part, depth + 1, style);
}

}  // namespace

void ModuleTraffic::subtract(const ModuleTraffic& other) {
  for (const auto& [op, count] : other.calls)
    if ((calls[op] -= count) == 0) calls.erase(op);
  payload_bytes -= other.payload_bytes;
  wire_bytes -= other.wire_bytes;
}

int64_t ModuleTraffic::sync_points() const {
  int64_t count = 0;
  for (const auto& [op, calls_of_op] : calls) count += calls_of_op;
  return count;
}

Module module_tree(const ShardPlan& plan, const StepOnMeta& run, const ModelOptions& options) {
  check_same_plan(plan, run);
  TreeBuilder builder(plan, run.dtype, options.depth);
  for (const FlowStep& step : run.flows.front().steps) builder.add(step);
  Module root = std::move(builder).take();
  root.name = "in all";
  for (Module& module : root.parts) show_own(module);

  if (!options.unfold)
    root.parts = fold_blocks(std::move(root.parts), alike, [](const Module&, const Module&) {});
  return root;
}

Graph model_graph(const Module& root, const ModelOptions& options) {
  if (const int64_t count = boxes(root); count > kMostBoxes)
    fail(fmt::format("the picture would have {} boxes, more than the {} one can read", count,
                     kMostBoxes),
         options.depth > 1 && std::ssize(root.parts) < kMostBoxes
             ? "leave out --unfold, or give --depth 1"
             : "leave out --unfold");
  Graph graph{.title = options.model};
  std::string last;
  for (const Module& module : root.parts) {
    const auto [begin, end] = draw(graph, module);
    if (!last.empty()) graph.edges.push_back({.from = last, .to = begin, .width = 1.5});
    last = end;
  }
  graph.add(module_node(root, "in all"));
  if (!last.empty())
    graph.edges.push_back({.from = last, .to = "total", .dashed = true, .arrow = false});
  return graph;
}

std::string model_text(const Module& root, const ModelOptions& options, const TextStyle& style) {
  std::string text = ink(title_lines(options.model, style), Ink::bold, style.colour);
  for (const Module& module : root.parts) add_lines(text, module, 1, style);
  Module total = root;
  total.parts.clear();
  add_lines(text, total, 0, style);
  return text;
}

}  // namespace tplab
