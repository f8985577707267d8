// The timeline as boxes to scale.
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "viz/drawing/palette.h"
#include "viz/pictures/timeline.h"

namespace tplab {

namespace {

// In points. An A4 page lies 842 wide.
constexpr double kLeft = 60, kWidth = 640, kTop = 64, kBar = 22, kGap = 10, kTick = 4;
constexpr double kVisible = 0.1;  // narrower boxes are left out
constexpr double kPercent = 52;   // width of a column of percentages

// About what a text takes in the pictures' font, and rather more.
double text_width(const std::string& text, double font_size) {
  return 0.62 * font_size * static_cast<double>(text.size()) + 2;
}

struct Look {
  Doing doing;
  std::string_view fill, name;
};
// Okabe and Ito's bluish green and orange, as in viz/drawing/palette.h, and a grey: they differ in
// lightness too.
constexpr std::array<Look, 3> kLooks = {{{Doing::computing, "#009e73", "computing"},
                                         {Doing::waiting, "#eeeeee", "waiting"},
                                         {Doing::moving, "#e69f00", "moving data"}}};

class Drawing {
 public:
  explicit Drawing(const Timeline& timeline) : timeline_(timeline) {
    graph_.title = timeline.title;
    label("title", {kLeft, 0, kWidth, 26}, timeline.title);
    graph_.nodes.back().rows[0][0].left = true;
    if (timeline.tracks.empty()) return;
    draw_phases();
    for (size_t i = 0; i < timeline.tracks.size(); ++i) draw_track(i);
    draw_scale();
    draw_legend();
  }
  Graph take() { return std::move(graph_); }

 private:
  double x(int64_t ns) const {
    return kLeft + kWidth * static_cast<double>(ns) /
                       static_cast<double>(std::max<int64_t>(timeline_.end_ns, 1));
  }
  double y(size_t track) const { return kTop + static_cast<double>(track) * (kBar + kGap); }

  void label(const std::string& id, const Box& at, const std::string& text) {
    GraphNode node{.id = id, .rows = {{{.text = text}}}, .tooltip = text};
    node.outline = GraphNode::Outline::none;
    node.at = at;
    graph_.add(std::move(node));
  }

  void box(const std::string& id, const Box& at, std::string_view fill, std::string_view border,
           const std::string& tooltip) {
    GraphNode node{.id = id, .rows = {{{.text = ""}}}, .tooltip = tooltip};
    node.fill = fill;
    node.border = border;
    node.border_width = fill == border ? 0 : 1;
    node.at = at;
    graph_.add(std::move(node));
  }

  // Rank 0's, above its bar. A phase too narrow for its name has it in the tooltip alone.
  void draw_phases() {
    const std::vector<PhaseSpan>& phases = timeline_.tracks[0].phases;
    for (size_t i = 0; i < phases.size(); ++i) {
      const Box at{x(phases[i].start_ns), kTop - 24, x(phases[i].end_ns) - x(phases[i].start_ns),
                   16};
      const std::string text(name(phases[i].phase));
      const std::string tooltip = fmt::format("{}, {}", text, human_time(phases[i].length_ns()));
      GraphNode node{.id = fmt::format("phase_{}", i),
                     .rows = {{{.text = text_width(text, 10) < at.width ? text : ""}}},
                     .tooltip = tooltip};
      node.border = "#999999";
      node.font_size = 10;
      node.at = at;
      graph_.add(std::move(node));
    }
  }

  void draw_track(size_t i) {
    const Track& track = timeline_.tracks[i];
    const double top = y(i);
    label(fmt::format("rank_{}", i), {0, top, kLeft - 8, kBar}, track.name);
    // What is not drawn over it is computing.
    box(fmt::format("rank_{}_track", i),
        {x(track.start_ns), top, x(track.end_ns) - x(track.start_ns), kBar}, kLooks[0].fill,
        rank_colour(track.tp_index),
        fmt::format("{}: computing {}", track.name, human_time(track.total_ns(Doing::computing))));
    for (size_t s = 0; s < track.stretches.size(); ++s) {
      const Stretch& stretch = track.stretches[s];
      const double width = x(stretch.end_ns) - x(stretch.start_ns);
      if (stretch.doing == Doing::computing || width < kVisible) continue;
      const Look& look = kLooks[static_cast<size_t>(stretch.doing)];
      box(fmt::format("rank_{}_{}", i, s), {x(stretch.start_ns), top + 1, width, kBar - 2},
          look.fill, look.fill,
          fmt::format("{}: {} {}, {}", track.name, look.name, human_time(stretch.length_ns()),
                      stretch.what));
    }
    for (size_t d = 0; d < kLooks.size(); ++d)
      label(fmt::format("rank_{}_part_{}", i, d),
            {kLeft + kWidth + 4 + kPercent * static_cast<double>(d), top, kPercent, kBar},
            fmt::format("{:.1f} %",
                        100 * static_cast<double>(track.total_ns(kLooks[d].doing)) /
                            static_cast<double>(std::max<int64_t>(track.length_ns(), 1))));
  }

  void draw_scale() {
    constexpr int kTicks = 5;
    const double top = y(timeline_.tracks.size());
    box("scale", {kLeft, top - 4, kWidth, 0.75}, "#333333", "#333333", "time");
    for (int i = 0; i <= kTicks; ++i) {
      const int64_t ns = timeline_.end_ns * i / kTicks;
      box(fmt::format("tick_{}", i), {x(ns) - 0.4, top - 4, 0.8, kTick}, "#333333", "#333333",
          human_time(ns));
      label(fmt::format("time_{}", i), {x(ns) - 30, top + 2, 60, 14},
            i == 0 ? "0" : human_time(ns));
    }
  }

  void draw_legend() {
    const double top = y(timeline_.tracks.size()) + 24;
    for (size_t d = 0; d < kLooks.size(); ++d) {
      const double left = kLeft + 110 * static_cast<double>(d);
      const std::string name(kLooks[d].name);
      box(fmt::format("legend_{}", d), {left, top, 14, 14}, kLooks[d].fill, "#333333", name);
      label(fmt::format("legend_{}_name", d), {left + 18, top, text_width(name, 11), 14}, name);
      label(fmt::format("legend_{}_part", d),
            {kLeft + kWidth + 4 + kPercent * static_cast<double>(d), kTop - 24, kPercent, 16},
            d == 0   ? "compute"
            : d == 1 ? "wait"
                     : "move");
    }
  }

  const Timeline& timeline_;
  Graph graph_;
};

}  // namespace

Graph timeline_graph(const Timeline& timeline) { return Drawing(timeline).take(); }

}  // namespace tplab
