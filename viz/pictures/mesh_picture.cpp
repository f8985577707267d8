#include "viz/pictures/mesh_picture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "sim/error.h"
#include "sim/text/bytes_text.h"
#include "viz/drawing/palette.h"
#include "viz/drawing/table.h"

namespace tplab {

namespace {

GroupTraffic& traffic_of(std::vector<GroupTraffic>& all, const Event& e) {
  for (GroupTraffic& one : all)
    if (one.phase == e.phase && one.op == e.op) return one;
  return all.emplace_back(GroupTraffic{.phase = e.phase, .op = e.op});
}

// Calls and payloads of the first rank, which the others must have made too; bytes of all.
void count(MeshGroup& group, const std::vector<RankRecord>& ranks) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorKind::run,
                fmt::format("the {} group of ranks {}: {}", name(group.axis),
                            fmt::join(group.ranks, ", "), what),
                "draw the mesh that the run was made on");
  };
  for (const int rank : group.ranks) {
    std::vector<GroupTraffic> own;
    for (const Event& e : ranks[static_cast<size_t>(rank)].ledger.events()) {
      if (e.axis != group.axis) continue;
      if (e.group_size != std::ssize(group.ranks))
        refuse(fmt::format("{} ranks took part in a collective", e.group_size));
      GroupTraffic& traffic = traffic_of(own, e);
      ++traffic.calls;
      traffic.payload_bytes += e.payload_bytes;
      traffic.wire_bytes += e.wire_bytes;
    }
    if (rank == group.ranks.front()) {
      group.traffic = std::move(own);
      continue;
    }
    for (size_t i = 0; i < std::max(own.size(), group.traffic.size()); ++i) {
      const bool both = i < own.size() && i < group.traffic.size();
      if (!both || own[i].op != group.traffic[i].op || own[i].phase != group.traffic[i].phase ||
          own[i].calls != group.traffic[i].calls ||
          own[i].payload_bytes != group.traffic[i].payload_bytes)
        refuse(fmt::format("rank {} made other calls than rank {}", rank, group.ranks.front()));
      group.traffic[i].wire_bytes += own[i].wire_bytes;
    }
  }
  std::stable_sort(group.traffic.begin(), group.traffic.end(),
                   [](const auto& a, const auto& b) { return a.phase < b.phase; });
}

// Groups of one axis that communicate alike, as nearly always all do, are told of together.
struct Alike {
  std::vector<const MeshGroup*> groups;
  const MeshGroup& first() const { return *groups.front(); }
};

std::vector<Alike> alike(const MeshPicture& picture) {
  std::vector<Alike> kinds;
  for (const MeshGroup& group : picture.groups) {
    const auto same = [&](const Alike& kind) {
      return kind.first().axis == group.axis && kind.first().traffic == group.traffic;
    };
    const auto at = std::find_if(kinds.begin(), kinds.end(), same);
    if (at == kinds.end()) {
      kinds.push_back({{&group}});
    } else {
      at->groups.push_back(&group);
    }
  }
  return kinds;
}

// "ranks 0, 4 and 8", "ranks 0, 4, ..., 60".
std::string ranks_in_words(const std::vector<int>& ranks) {
  if (ranks.size() > 4)
    return fmt::format("ranks {}, {}, ..., {}", ranks[0], ranks[1], ranks.back());
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t i = 0; i < ranks.size(); ++i)
    text += fmt::format("{}{}", i == 0 ? "" : i + 1 == ranks.size() ? " and " : ", ", ranks[i]);
  return text;
}

std::string heading(const Alike& kind) {
  const MeshGroup& group = kind.first();
  const bool tp = group.axis == Axis::tp;
  if (kind.groups.size() == 1)
    return fmt::format("The {} group of {}, which {}", name(group.axis),
                       ranks_in_words(group.ranks),
                       tp ? "share one model" : "hold the same part of it");
  return fmt::format("Each of {} {} groups: {} ranks {}", kind.groups.size(), name(group.axis),
                     group.ranks.size(),
                     tp ? "that share one model" : "with the same part of it, in each replica");
}

constexpr const char* kNothing = "One rank: it communicates with nobody.";

// --- The graph.

constexpr double kCell = 44, kCellHeight = 30, kBetween = 16, kFont = 9, kLine = 16,
                 kTableLine = 13;

class MeshDrawing {
 public:
  explicit MeshDrawing(const MeshPicture& picture);
  Graph take() && { return std::move(graph_); }

 private:
  void text(std::string id, const std::string& text, double x, double y, bool bold);
  void grid();
  void frame(const MeshGroup& group, double reach);
  void tables();
  Box box_of(int rank) const {
    const int column = picture_.mesh.tp_index(rank), row = picture_.mesh.dp_index(rank);
    return {x0_ + (kCell + kBetween) * column, y0_ + (kCellHeight + kBetween) * row, kCell,
            kCellHeight};
  }

  const MeshPicture& picture_;
  Graph graph_;
  double x0_ = 70, y0_ = 80;
};

void MeshDrawing::text(std::string id, const std::string& text, double x, double y, bool bold) {
  const double width = 0.7 * kFont * static_cast<double>(display_width(text)) + 4;
  graph_.add(text_node(std::move(id), text, Box{x, y, width, kLine}, kFont, bold));
}

// Around the boxes of its ranks, which lie in one row or one column.
void MeshDrawing::frame(const MeshGroup& group, double reach) {
  const Box first = box_of(group.ranks.front()), last = box_of(group.ranks.back());
  const bool tp = group.axis == Axis::tp;
  const std::string label = fmt::format("{} group", name(group.axis));
  graph_.add({.id = fmt::format("{} of rank {}", label, group.ranks.front()),
              .rows = {{{""}}},
              .tooltip = fmt::format("{}: ranks {}", label, fmt::join(group.ranks, ", ")),
              .fill = "transparent",
              .border = tp ? "#0072b2" : "#d55e00",
              .border_width = 1.2,
              .dashed = !tp,
              .at = Box{first.x - reach, first.y - reach, last.x + kCell - first.x + 2 * reach,
                        last.y + kCellHeight - first.y + 2 * reach}});
}

void MeshDrawing::grid() {
  for (const MeshGroup& group : picture_.groups) frame(group, group.axis == Axis::tp ? 6 : 3);
  for (int rank = 0; rank < picture_.mesh.ranks(); ++rank) {
    const int tp_index = picture_.mesh.tp_index(rank), dp_index = picture_.mesh.dp_index(rank);
    graph_.add(
        {.id = fmt::format("rank {}", rank),
         .rows = {{{fmt::format("{}", rank), "", true}}},
         .tooltip = fmt::format("rank {}: tp index {}, dp index {}", rank, tp_index, dp_index),
         .fill = rank_tint(tp_index),
         .border = std::string(rank_colour(tp_index)),
         .border_width = 1.5,
         .at = box_of(rank)});
    const Box box = box_of(rank);
    if (dp_index == 0)
      text(fmt::format("column {}", tp_index), fmt::format("tp {}", tp_index), box.x + 6,
           box.y - 26, false);
    if (tp_index == 0)
      text(fmt::format("row {}", dp_index), fmt::format("dp {}", dp_index), box.x - 48, box.y + 7,
           false);
  }
}

void MeshDrawing::tables() {
  double y = box_of(picture_.mesh.ranks() - 1).y + kCellHeight + 24;
  size_t number = 0;
  for (const Alike& kind : alike(picture_)) {
    const MeshGroup& group = kind.first();
    const bool tp = group.axis == Axis::tp;
    GraphNode node{.id = fmt::format("traffic {}", number++),
                   .rows = {{{heading(kind), "#eeeeee", true}},
                            {{"phase", "", true, true},
                             {"collectives", "", true, true},
                             {"tensors, in all", "", true, true},
                             {"sent, all its ranks", "", true, true}}},
                   .tooltip = heading(kind),
                   .border = tp ? "#0072b2" : "#d55e00",
                   .outline = GraphNode::Outline::none,
                   .font_size = kFont};
    for (const GroupTraffic& t : group.traffic)
      node.rows.push_back({{std::string(name(t.phase)), "", false, true},
                           {fmt::format("{} {}", t.calls, name(t.op)), "", false, true},
                           {bytes_text(t.payload_bytes), "", false, true},
                           {bytes_text(t.wire_bytes), "", false, true}});
    for (auto& row : node.rows)
      for (GraphCell& cell : row) cell.text = " " + cell.text + " ";
    const double height = kTableLine * static_cast<double>(node.rows.size());
    node.at = Box{0, y, 400, height};
    graph_.add(std::move(node));
    y += height + 12;
  }
  if (picture_.groups.empty()) text("nothing", kNothing, 0, y, false);
}

MeshDrawing::MeshDrawing(const MeshPicture& picture) : picture_(picture) {
  graph_.title =
      fmt::format("{}: mesh, tp {}, dp {}", picture.model, picture.mesh.tp, picture.mesh.dp);
  text("title", picture.model, 0, 0, true);
  text("step", picture.step, 0, kLine, false);
  grid();
  tables();
}

// --- The text.

std::string grid_text(const MeshPicture& picture, const TextStyle& style) {
  constexpr int kAtOnce = 16;  // columns, of 4 characters
  std::string text;
  for (int first = 0; first < picture.mesh.tp; first += kAtOnce) {
    const int last = std::min(picture.mesh.tp, first + kAtOnce);
    text += "      ";
    for (int t = first; t < last; ++t) text += fmt::format("{:>4}", fmt::format("t{}", t));
    for (int d = 0; d < picture.mesh.dp; ++d) {
      text += fmt::format("\n  d{:<2} {}", d, style.unicode ? "│" : "|");
      for (int t = first; t < last; ++t)
        text += ink(fmt::format("{:>4}", picture.mesh.rank(d, t)), Ink::bold, style.colour);
      text += style.unicode ? " │" : " |";
    }
    text += "\n";
  }
  return text;
}

}  // namespace

MeshPicture mesh_picture(const std::vector<RankRecord>& ranks, const StepOptions& options,
                         std::string model) {
  MeshPicture picture{.model = std::move(model),
                      .step = describe(options),
                      .mesh = options.parallelism.mesh(),
                      .groups = {}};
  const Mesh& mesh = picture.mesh;
  if (std::ssize(ranks) != mesh.ranks())
    throw Error(
        ErrorKind::run,
        fmt::format("a mesh of {} x {} is drawn, and {} ranks ran", mesh.dp, mesh.tp, ranks.size()),
        "draw the mesh that the run was made on");
  for (int d = 0; d < mesh.dp && mesh.tp > 1; ++d)
    picture.groups.push_back({.axis = Axis::tp, .ranks = mesh.tp_group(d)});
  for (int t = 0; t < mesh.tp && mesh.dp > 1; ++t)
    picture.groups.push_back({.axis = Axis::dp, .ranks = mesh.dp_group(t)});
  for (MeshGroup& group : picture.groups) count(group, ranks);
  return picture;
}

Graph mesh_graph(const MeshPicture& picture) { return MeshDrawing(picture).take(); }

std::string mesh_text(const MeshPicture& picture, const TextStyle& style) {
  using enum Table::Align;
  std::string text = ink(one_line(picture.model, style), Ink::bold, style.colour) + "\n" +
                     title_lines(picture.step, style) + "\n" + grid_text(picture, style);
  if (picture.groups.empty()) text += std::string("\n") + kNothing + "\n";
  for (const Alike& kind : alike(picture)) {
    text += fmt::format("\n{}\n", ink(heading(kind), Ink::bold, style.colour));
    Table table({{"phase"}, {"collectives"}, {"tensors", right}, {"sent by the group", right}});
    for (const GroupTraffic& t : kind.first().traffic)
      table.row({{std::string(name(t.phase))},
                 {fmt::format("{} {}", t.calls, name(t.op))},
                 {bytes_text(t.payload_bytes)},
                 {bytes_text(t.wire_bytes)}});
    text += table.text(style.colour, style.columns);
  }
  return text;
}

}  // namespace tplab
