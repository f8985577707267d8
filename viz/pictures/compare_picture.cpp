// Ways of splitting side by side: a table in the terminal, bars in a picture.
#include "viz/pictures/compare_picture.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/text/bytes_text.h"
#include "viz/drawing/table.h"

namespace tplab {

namespace {

std::string lines_of(std::string_view text, int columns) {
  return wrapped(text, static_cast<size_t>(columns)) + "\n";
}

const SchemePhase& phase_of(const Scheme& scheme, Phase phase) {
  return scheme.phases[static_cast<size_t>(phase)];
}

constexpr std::array kPhases = {Phase::forward, Phase::backward, Phase::optimizer};
constexpr std::array<std::string_view, 3> kPhaseFills = {"#aadaf4", "#f5d08a", "#cccccc"};

std::string source_of(const Scheme& scheme) { return scheme.counted ? "counted" : "by formula"; }

constexpr double kLabel = 110, kBars = 420, kBar = 18, kStep = 24, kFont = 9;

class ComparisonDrawing {
 public:
  explicit ComparisonDrawing(const Comparison& comparison);
  Graph take() && { return std::move(graph_); }

 private:
  void text(std::string id, const std::string& text, double x, double width, bool bold);
  void box(std::string id, const std::string& label, const std::string& tooltip,
           std::string_view fill, double x, double width);
  template <class Value, class Say>
  void chart(const std::string& heading, Value value, Say say);
  void memory();
  void legend();

  const Comparison& comparison_;
  Graph graph_;
  double y_ = 0;
};

double text_width(const std::string& text) {
  return 0.66 * kFont * static_cast<double>(display_width(text)) + 4;
}

void ComparisonDrawing::text(std::string id, const std::string& text, double x, double width,
                             bool bold) {
  graph_.add(text_node(std::move(id), text, Box{x, y_, width, kBar}, kFont, bold));
}

void ComparisonDrawing::box(std::string id, const std::string& label, const std::string& tooltip,
                            std::string_view fill, double x, double width) {
  const bool fits = text_width(label) <= width;
  graph_.add({.id = std::move(id),
              .rows = {{{fits ? label : ""}}},
              .tooltip = tooltip,
              .fill = std::string(fill),
              .border = "#555555",
              .border_width = 0.7,
              .font_size = kFont,
              .at = Box{x, y_, width, kBar}});
}

// A bar a scheme, with a part for each phase.
template <class Value, class Say>
void ComparisonDrawing::chart(const std::string& heading, Value value, Say say) {
  y_ += kStep / 2;
  text("heading " + heading, heading, 0, text_width(heading), true);
  y_ += kStep;
  int64_t most = 1;
  for (const Scheme& scheme : comparison_.schemes) {
    int64_t sum = 0;
    for (const Phase phase : kPhases) sum += value(phase_of(scheme, phase));
    most = std::max(most, sum);
  }
  for (const Scheme& scheme : comparison_.schemes) {
    text(heading + " of " + scheme.name, scheme.name, 0, kLabel - 10, true);
    double x = kLabel;
    int64_t sum = 0;
    for (size_t i = 0; i < kPhases.size(); ++i) {
      const int64_t part = value(phase_of(scheme, kPhases[i]));
      const double width = kBars * static_cast<double>(part) / static_cast<double>(most);
      sum += part;
      if (width >= 0.5)
        box(fmt::format("{} of {} {}", heading, scheme.name, name(kPhases[i])), say(part),
            fmt::format("{}, {}: {} ({})", scheme.name, name(kPhases[i]), say(part),
                        source_of(scheme)),
            kPhaseFills[i], x, width);
      x += width;
    }
    const std::string all = scheme.refused.empty()
                                ? fmt::format("{}, {}", say(sum), source_of(scheme))
                                : "not possible: " + scheme.refused;
    text(heading + " of " + scheme.name + " in all", all, x + 8, text_width(all), false);
    y_ += kStep;
  }
}

void ComparisonDrawing::memory() {
  const std::string heading = "Activations that a rank keeps for its backward pass, predicted";
  y_ += kStep / 2;
  text("heading memory", heading, 0, text_width(heading), true);
  y_ += kStep;
  int64_t most = 1;
  for (const Scheme& scheme : comparison_.schemes) most = std::max(most, scheme.activation_bytes);
  for (const Scheme& scheme : comparison_.schemes) {
    if (scheme.activation_bytes < 0) continue;
    text("memory of " + scheme.name, scheme.name, 0, kLabel - 10, true);
    const double width =
        kBars * static_cast<double>(scheme.activation_bytes) / static_cast<double>(most);
    const std::string bytes = bytes_text(scheme.activation_bytes);
    box("memory of " + scheme.name + " bar", "", scheme.name + ": " + bytes, "#99d8c7", kLabel,
        width);
    text("memory of " + scheme.name + " bytes", bytes, kLabel + width + 8, text_width(bytes),
         false);
    y_ += kStep;
  }
}

void ComparisonDrawing::legend() {
  double x = kLabel;
  for (size_t i = 0; i < kPhases.size(); ++i) {
    const std::string phase(name(kPhases[i]));
    box("legend " + phase, phase, phase, kPhaseFills[i], x, text_width(phase) + 8);
    x += text_width(phase) + 16;
  }
  y_ += kStep;
}

ComparisonDrawing::ComparisonDrawing(const Comparison& comparison) : comparison_(comparison) {
  graph_.title = comparison.model + ": ways of splitting";
  text("title", comparison.model, 0, text_width(comparison.model), true);
  y_ += kBar;
  text("step", comparison.step, 0, text_width(comparison.step), false);
  y_ += kStep;
  legend();
  chart(
      "Sync points of the rank that sends most", [](const SchemePhase& p) { return p.sync_points; },
      [](int64_t count) { return fmt::format("{}", count); });
  chart(
      "Bytes that it sends", [](const SchemePhase& p) { return p.wire_bytes; },
      [](int64_t bytes) { return bytes_text(bytes); });
  memory();
}

}  // namespace

Graph comparison_graph(const Comparison& comparison) {
  return ComparisonDrawing(comparison).take();
}

std::string comparison_text(const Comparison& comparison, const TextStyle& style) {
  using enum Table::Align;
  std::string text = ink(one_line(comparison.model, style), Ink::bold, style.colour) + "\n" +
                     lines_of(comparison.step, style.columns) + "\n";
  Table table({{"", left},
               {"syncs", right},
               {"fwd+bwd", right},
               {"sent", right},
               {"forward", right},
               {"backward", right},
               {"activations", right},
               {"figures"}});
  std::string notes;
  for (const Scheme& scheme : comparison.schemes) {
    if (!scheme.refused.empty()) {
      table.row({{scheme.name}, {"-"}});
      notes +=
          lines_of(fmt::format("{}: not possible: {}", scheme.name, scheme.refused), style.columns);
      continue;
    }
    const SchemePhase &forward = phase_of(scheme, Phase::forward),
                      &backward = phase_of(scheme, Phase::backward);
    table.row({{scheme.name},
               {fmt::format("{}", scheme.sync_points()), Ink::bold},
               {fmt::format("{}+{}", forward.sync_points, backward.sync_points)},
               {bytes_text(scheme.wire_bytes()), Ink::bold},
               {bytes_text(forward.wire_bytes)},
               {bytes_text(backward.wire_bytes)},
               {scheme.activation_bytes < 0 ? "-" : bytes_text(scheme.activation_bytes)},
               {source_of(scheme)}});
    if (!scheme.note.empty())
      notes += lines_of(fmt::format("{}: {}", scheme.name, scheme.note), style.columns);
  }
  text += table.text(style.colour, style.columns);
  const std::string what = lines_of(
      "Of the rank that sends most: its collectives and the messages that it waits for, and what "
      "it sends. What a rank keeps for its backward pass is predicted.",
      style.columns);
  return fmt::format("{}\n{}{}", text, what, notes);
}

}  // namespace tplab
