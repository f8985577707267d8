#include "viz/mesh_picture.h"

#include <fmt/format.h>

#include <map>
#include <tuple>

#include "viz/palette.h"
#include "viz/table.h"

namespace tplab {

namespace {

std::string rank_name(const MeshPicture& picture, int dp, int tp) {
  return std::to_string(dp * picture.tp + tp);
}

std::string traffic_text(const MeshTraffic& t) {
  return fmt::format("{} {} of {}, a rank sends {}", t.calls, name(t.op),
                     human_bytes(static_cast<double>(t.payload_bytes)), human_bytes(t.wire_bytes));
}

// What a group is for.
std::string group_text(const MeshPicture& picture, Axis axis) {
  const bool is_tp = axis == Axis::tp;
  const int groups = is_tp ? picture.dp : picture.tp, size = is_tp ? picture.tp : picture.dp;
  return fmt::format("{} {} group{} of {}: {}", groups, name(axis), groups == 1 ? "" : "s", size,
                     is_tp ? "one model each, split over its ranks"
                           : "ranks with equal shards, which sum gradients");
}

}  // namespace

MeshPicture mesh_picture(const StepOnMeta& run, const StepOptions& options,
                         const std::string& title) {
  std::map<std::tuple<Axis, Phase, Op>, MeshTraffic> sums;
  for (size_t rank = 0; rank < run.records.size(); ++rank) {
    for (const Event& event : run.records[rank].ledger.events()) {
      MeshTraffic& t = sums[{event.axis, event.phase, event.op}];
      t.axis = event.axis;
      t.phase = event.phase;
      t.op = event.op;
      t.wire_bytes +=
          static_cast<double>(event.wire_bytes) / static_cast<double>(run.records.size());
      if (rank > 0) continue;  // all ranks make the same calls
      ++t.calls;
      t.payload_bytes += event.payload_bytes;
    }
  }
  MeshPicture picture{title, options.tp, options.dp, {}};
  for (const auto& [key, traffic] : sums) picture.traffic.push_back(traffic);
  return picture;
}

Graph mesh_graph(const MeshPicture& picture) {
  constexpr double kCell = 44, kGap = 16, kLeft = 60, kTop = 70, kText = 430;
  Graph graph{.title = picture.title};
  const auto write = [&](const std::string& id, const std::string& text, const Box& at, bool left,
                         bool bold = false) {
    graph.add({.id = id,
               .rows = {{{text, "", bold, left}}},
               .outline = GraphNode::Outline::none,
               .font_size = 10,
               .at = at});
  };
  const double step = kCell + kGap;
  const double right = kLeft + picture.tp * step, bottom = kTop + picture.dp * step;
  write("title", picture.title, {0, 0, kText, 30}, true, true);
  for (int dp = 0; dp < picture.dp; ++dp) {
    write(fmt::format("dp{}", dp), fmt::format("dp {}", dp),
          {0, kTop + dp * step, kLeft - 14, kCell}, true);
    graph.add({.id = fmt::format("tp-group{}", dp),
               .rows = {{{""}}},
               .tooltip = fmt::format("tp group of replica {}", dp),
               .fill = "#eaf4fb",
               .border = "#0072b2",
               .at = Box{kLeft - 6, kTop + dp * step - 6, right - kLeft - kGap + 12, kCell + 12}});
  }
  for (int tp = 0; tp < picture.tp; ++tp) {
    write(fmt::format("tp{}", tp), fmt::format("tp {}", tp),
          {kLeft + tp * step, kTop - 28, kCell, 14}, false);
    graph.add({.id = fmt::format("dp-group{}", tp),
               .rows = {{{""}}},
               .tooltip = fmt::format("dp group of tp index {}", tp),
               .fill = "#ffffff00",
               .border = "#d55e00",
               .dashed = true,
               .at = Box{kLeft + tp * step - 3, kTop - 12, kCell + 6, bottom - kTop - kGap + 24}});
  }
  for (int dp = 0; dp < picture.dp; ++dp)
    for (int tp = 0; tp < picture.tp; ++tp)
      graph.add(
          {.id = "rank" + rank_name(picture, dp, tp),
           .rows = {{{rank_name(picture, dp, tp), "", true}}},
           .tooltip = fmt::format("rank {}: dp {}, tp {}", rank_name(picture, dp, tp), dp, tp),
           .border = std::string(rank_colour(tp)),
           .border_width = 2,
           .at = Box{kLeft + tp * step, kTop + dp * step, kCell, kCell}});
  double y = bottom + 20;
  for (const Axis axis : {Axis::tp, Axis::dp}) {
    write(fmt::format("{} groups", name(axis)), group_text(picture, axis), {0, y, kText, 14}, true,
          true);
    for (const MeshTraffic& t : picture.traffic) {
      if (t.axis != axis) continue;
      y += 15;
      write(fmt::format("{} {} {}", name(axis), name(t.phase), name(t.op)),
            fmt::format("{}: {}", name(t.phase), traffic_text(t)), {16, y, kText - 16, 14}, true);
    }
    y += 22;
  }
  return graph;
}

std::string mesh_text(const MeshPicture& picture, const TextStyle& style) {
  std::string text = ink(picture.title, Ink::bold, style.colour) + "\n\n";
  const int per_line = (style.columns - 8) / 6;  // a wide mesh goes on below
  for (int first = 0; first < picture.tp; first += per_line) {
    const int last = std::min(first + per_line, picture.tp);
    text += std::string(8, ' ');
    for (int tp = first; tp < last; ++tp) text += fmt::format("{:>6}", fmt::format("tp {}", tp));
    text += "\n";
    for (int dp = 0; dp < picture.dp; ++dp) {
      text += fmt::format("{:<8}", fmt::format("dp {}", dp));
      for (int tp = first; tp < last; ++tp)
        text += fmt::format("{:>6}", rank_name(picture, dp, tp));
      text += "\n";
    }
    text += "\n";
  }
  for (const Axis axis : {Axis::tp, Axis::dp}) {
    text += fmt::format("{} ({})\n", ink(group_text(picture, axis), Ink::bold, style.colour),
                        axis == Axis::tp ? "a row" : "a column");
    bool any = false;
    for (const MeshTraffic& t : picture.traffic) {
      if (t.axis != axis) continue;
      any = true;
      text += fmt::format("  {:<10}{}\n", name(t.phase), traffic_text(t));
    }
    if (!any) text += "  nothing to send\n";
  }
  return text;
}

}  // namespace tplab
