#include "viz/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace tplab {

namespace {

std::string padded(std::string_view text, size_t to, Table::Align align, Ink how, bool colour) {
  const std::string space(to - std::min(to, display_width(text)), ' ');
  const std::string inked = ink(text, how, colour);
  return align == Table::Align::left ? inked + space : space + inked;
}

void trim_right(std::string& line) { line.erase(line.find_last_not_of(' ') + 1); }

}  // namespace

size_t display_width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u;
  }));
}

std::string ink(std::string_view text, Ink how, bool colour) {
  constexpr std::array<std::string_view, 5> kCodes = {"", "32", "31;1", "2", "1"};
  const std::string_view code = kCodes[static_cast<size_t>(how)];
  if (!colour || code.empty() || text.empty()) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

std::string Table::text(bool colour) const {
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns_.size(); ++c) {
    size_t widest = display_width(columns_[c].heading);
    for (const auto& row : rows_)
      if (c < row.size()) widest = std::max(widest, display_width(row[c].text));
    widths.push_back(widest);
  }
  std::string text;
  const auto add_line = [&](const std::vector<Cell>& cells, bool heading) {
    std::string line;
    for (size_t c = 0; c < cells.size(); ++c) {
      if (c > 0) line += "  ";
      line += padded(cells[c].text, widths[c], columns_[c].align,
                     heading ? Ink::bold : cells[c].ink, colour);
    }
    trim_right(line);
    text += line + "\n";
  };
  std::vector<Cell> headings;
  for (const Column& column : columns_) headings.push_back({column.heading});
  add_line(headings, true);
  for (const auto& row : rows_) add_line(row, false);
  return text;
}

std::string wrapped(std::string_view text, size_t columns) {
  std::string lines;
  size_t width = 0;  // of the last line, its space included
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(" \n"), text.size());
    const std::string_view word = text.substr(0, end);
    if (width > 0 && width + display_width(word) > columns) {
      lines.back() = '\n';  // in place of the space
      width = 0;
    }
    lines += word;
    width += display_width(word);
    if (end < text.size()) lines += text[end];
    width = end < text.size() && text[end] == '\n' ? 0 : width + 1;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string human_bytes(double bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f} B", bytes);
  return fmt::format("{:.{}f} {}", bytes, bytes < 10 ? 2 : bytes < 100 ? 1 : 0, kUnits[unit]);
}

}  // namespace tplab
