#include "viz/drawing/terminal_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "viz/drawing/table.h"

namespace tplab {

namespace {

constexpr double kCharacterWidth = 7.8, kLineHeight = 17, kMargin = 14, kTitleHeight = 26;

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// How SVG shows an ink; the codes are those of ink() in table.cpp.
std::string_view style_of(std::string_view code) {
  if (code == "32") return "fill=\"#3fb950\"";
  if (code == "31;1") return "fill=\"#ff7b72\" font-weight=\"bold\"";
  if (code == "2") return "fill=\"#8b949e\"";
  if (code == "1") return "font-weight=\"bold\"";
  return "";
}

struct Run {
  std::string style, text;
};

// Splits a line at its colour codes, "\x1b[32m".
std::vector<Run> runs_of(std::string_view line) {
  std::vector<Run> runs;
  std::string style;
  while (!line.empty()) {
    const size_t escape = line.find("\x1b[");
    if (escape != 0) runs.push_back({style, std::string(line.substr(0, escape))});
    if (escape == std::string_view::npos) break;
    const size_t end = line.find('m', escape);
    if (end == std::string_view::npos) break;
    style = style_of(line.substr(escape + 2, end - escape - 2));
    line.remove_prefix(end + 1);
  }
  return runs;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

std::string terminal_picture(std::string_view command, std::string_view text) {
  const std::vector<std::string_view> lines = lines_of(text);
  size_t widest = display_width(command) + 2;
  for (std::string_view line : lines) {
    size_t width = 0;
    for (const Run& run : runs_of(line)) width += display_width(run.text);
    widest = std::max(widest, width);
  }
  const double width = static_cast<double>(widest) * kCharacterWidth + 2 * kMargin;
  const double height =
      kTitleHeight + static_cast<double>(lines.size() + 1) * kLineHeight + 2 * kMargin;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" role=\"img\">\n<title>{2}</title>\n"
      "<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#0d1117\"/>\n"
      "<g fill=\"#30363d\"><circle cx=\"18\" cy=\"16\" r=\"5\"/><circle cx=\"34\" cy=\"16\" "
      "r=\"5\"/><circle cx=\"50\" cy=\"16\" r=\"5\"/></g>\n"
      "<g font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" "
      "font-size=\"13\" fill=\"#e6edf3\" xml:space=\"preserve\">\n",
      width, height, escaped(command));
  double y = kTitleHeight + kMargin + kLineHeight;
  const auto add_line = [&](std::string_view line) {
    svg += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\">", kMargin, y);
    // Each run says where it starts and how wide it is, so that columns line up in any font.
    size_t column = 0;
    for (const Run& run : runs_of(line)) {
      const size_t columns = display_width(run.text);
      svg += fmt::format(
          "<tspan x=\"{:.1f}\" textLength=\"{:.1f}\" lengthAdjust=\"spacingAndGlyphs\" {}>{}"
          "</tspan>",
          kMargin + static_cast<double>(column) * kCharacterWidth,
          static_cast<double>(columns) * kCharacterWidth, run.style, escaped(run.text));
      column += columns;
    }
    svg += "</text>\n";
    y += kLineHeight;
  };
  add_line(fmt::format("$ {}", command));
  for (std::string_view line : lines) add_line(line);
  return svg + "</g>\n</svg>\n";
}

}  // namespace tplab
