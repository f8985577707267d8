#include "viz/explore/diagram.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "viz/drawing/palette.h"

namespace tplab::explore {

namespace {

// In points.
constexpr double kWidth = 150, kHeight = 46, kGap = 12, kBetween = 24, kMargin = 10, kHeader = 20;

std::string first_scope(const std::string& site) { return site.substr(0, site.find('/')); }

// What stands in one frame: "block 0", and the final norm together with the head.
std::string frame_of(const Step& step) {
  const std::string first = first_scope(step.site);
  return first == "ln_f" ? "head" : first;
}

// Within a frame: "attn" of "block 0/attn/qkv", nothing of "block 0/ln_1".
std::string layer_of(const Step& step) {
  const std::string rest = step.site.substr(std::min(step.site.size(), step.site.find('/')));
  for (const char* const layer : {"attn", "mlp"})
    if (rest.starts_with(fmt::format("/{}", layer))) return layer;
  return "";
}

std::string last_name(const std::string& site) {
  const size_t slash = site.rfind('/');
  return slash == std::string::npos ? site : site.substr(slash + 1);
}

// Of the whole tensor, once for all ranks.
int64_t sum(const std::vector<int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), int64_t{0});
}

GraphNode box(const Run& run, size_t i) {
  const Step& step = run.steps[i];
  GraphNode node{.id = fmt::format("step-{}", i), .rows = {}};
  node.font_size = 9;
  if (step.op) {
    node.fill = "#333333";
    node.ink = "#ffffff";
    node.border = "#999999";
    node.rows = {
        {{.text = for_people(name(*step.op)) + (step.largest ? " (max)" : ""), .bold = true}},
        {{.text = fmt::format("{} to {}", step.before->placement, step.after.placement)}},
        {{.text = fmt::format("{} bytes sent in all", sum(step.wire_bytes))}}};
    node.tooltip = fmt::format("{} at {}", for_people(name(*step.op)), step.site);
    return node;
  }
  const std::string fill(placement_colour(step.after.placement));
  std::vector<GraphCell> ranks;
  ranks.reserve(static_cast<size_t>(run.tp));
  for (int r = 0; r < run.tp; ++r)
    ranks.push_back({.text = fmt::format("rank {}", r), .fill = fill});
  if (run.tp > 2)
    for (int r = 0; r < run.tp; ++r) ranks[static_cast<size_t>(r)].text = fmt::format("{}", r);
  node.border = "#666666";
  node.rows = {
      {{.text = last_name(step.site), .bold = true}},
      {{.text = fmt::format("{} [{}]", step.after.placement, fmt::join(step.after.shape, ", "))}},
      ranks};
  node.tooltip = step.site;
  return node;
}

// Where the boxes of one frame stand, as numbers of rows from its top: forward one below the other;
// backward from below, each beside its own layer's boxes where there is room.
struct Rows {
  std::vector<size_t> forward, backward;  // steps
  std::vector<size_t> backward_row;
  size_t count() const { return std::max(forward.size(), backward.size()); }
};

void place_backward(Rows& rows, const std::vector<Step>& steps) {
  const size_t n = rows.count();
  size_t free = n;  // rows 0 .. free - 1 are
  for (size_t k = 0; k < rows.backward.size(); ++k) {
    const size_t still = rows.backward.size() - k;  // to be placed, this one too
    size_t row = free - 1;
    for (size_t candidate = free; candidate-- > still - 1;) {
      if (candidate >= rows.forward.size() ||
          layer_of(steps[rows.forward[candidate]]) != layer_of(steps[rows.backward[k]]))
        continue;
      row = candidate;
      break;
    }
    rows.backward_row.push_back(row);
    free = row;
  }
}

struct Frame {
  std::string name;
  Rows rows;
};

// From the top: what has only backward steps (the small gradients' sum ends the pass), then as the
// forward pass meets them.
std::vector<Frame> frames_of(const Run& run) {
  std::vector<Frame> frames;
  const auto frame = [&](const std::string& name) -> Frame& {
    for (Frame& f : frames)
      if (f.name == name) return f;
    return frames.emplace_back(Frame{name, {}});
  };
  for (size_t i = 0; i < run.steps.size(); ++i) {
    Rows& rows = frame(frame_of(run.steps[i])).rows;
    (run.steps[i].phase == Phase::forward ? rows.forward : rows.backward).push_back(i);
  }
  std::stable_partition(frames.begin(), frames.end(),
                        [](const Frame& f) { return f.rows.forward.empty(); });
  for (Frame& f : frames) place_backward(f.rows, run.steps);
  return frames;
}

GraphNode header(std::string id, std::string text, Box at) {
  return {.id = std::move(id),
          .rows = {{{.text = std::move(text), .bold = true}}},
          .fill = "#e4e4e4",
          .border = "#e4e4e4",
          .font_size = 10,
          .at = at};
}

}  // namespace

std::string for_people(std::string_view name) {
  std::string text(name);
  std::replace(text.begin(), text.end(), '_', '-');
  return text;
}

Graph diagram(const Run& run) {
  Graph graph{.title = fmt::format("tp {}{}", run.tp, run.sp ? ", SP" : "")};
  const double right = kMargin + kWidth + kBetween;
  graph.add(header("forward", "forward ↓", {kMargin, 0, kWidth, kHeader}));
  graph.add(header("backward", "backward ↑", {right, 0, kWidth, kHeader}));
  double y = kHeader + kGap;
  for (const Frame& frame : frames_of(run)) {
    graph.add(header("frame-" + frame.name, frame.name, {0, y, right + kWidth + kMargin, kHeader}));
    y += kHeader + kGap / 2;
    const auto add = [&](size_t step, size_t row, double x) {
      GraphNode node = box(run, step);
      node.at = Box{x, y + static_cast<double>(row) * (kHeight + kGap), kWidth, kHeight};
      graph.add(std::move(node));
    };
    const Rows& rows = frame.rows;
    for (size_t k = 0; k < rows.forward.size(); ++k) add(rows.forward[k], k, kMargin);
    for (size_t k = 0; k < rows.backward.size(); ++k)
      add(rows.backward[k], rows.backward_row[k], right);
    y += static_cast<double>(rows.count()) * (kHeight + kGap);
  }
  for (size_t i = 1; i < run.steps.size(); ++i)
    graph.edges.push_back({.from = fmt::format("step-{}", i - 1), .to = fmt::format("step-{}", i)});
  return graph;
}

}  // namespace tplab::explore
