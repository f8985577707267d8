#include "viz/drawing/table.h"

#include <fmt/format.h>
#include <locale.h>
#include <wchar.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "sim/text/utf8.h"

namespace tplab {

namespace {

constexpr std::string_view kCode = "\x1b[";

std::string padded(std::string_view text, size_t to, Table::Align align, Ink how, bool colour) {
  const std::string space(to - std::min(to, display_width(text)), ' ');
  const std::string inked = ink(text, how, colour);
  return align == Table::Align::left ? inked + space : space + inked;
}

// One character, one code of ink(), or one byte that begins neither.
std::string_view first_character(std::string_view text) {
  if (text.starts_with(kCode)) return text.substr(0, std::min(text.find('m'), text.size() - 1) + 1);
  return text.substr(0, std::max<size_t>(1, utf8::character_length(text, 0)));
}

// As Unicode has it, by the C library's table for UTF-8, whatever locale the program runs in.
size_t width_of(std::string_view character) {
  if (character.starts_with(kCode)) return 0;
  if (character.size() == 1) return 1;
  static const locale_t kUtf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  if (!kUtf8) return 1;
  const locale_t before = uselocale(kUtf8);
  const int width = wcwidth(static_cast<wchar_t>(utf8::code_point(character)));
  uselocale(before);
  return width < 0 ? 1 : static_cast<size_t>(width);
}

size_t longest_word(std::string_view text) {
  size_t longest = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    longest = std::max(longest, display_width(text.substr(at, end - at)));
    at = end + 1;
  }
  return longest;
}

// A cell on as many lines as it takes, each begun as far in as the first. Words that are wider than
// the cell, such as names of parameters, are cut.
std::vector<std::string> cell_lines(std::string_view text, size_t width) {
  const size_t indent = std::min(text.find_first_not_of(' '), text.size());
  std::vector<std::string> lines = {""};
  size_t used = 0;
  const std::string whole = wrapped(text, width, indent);
  for (std::string_view rest = whole; !rest.empty();) {
    const std::string_view character = first_character(rest);
    rest.remove_prefix(character.size());
    const bool ends = character == "\n";
    if (ends || used + width_of(character) > std::max<size_t>(width, 1)) {
      lines.emplace_back();
      used = 0;
      if (ends) continue;
    }
    lines.back() += character;
    used += width_of(character);
  }
  return lines;
}

// Of columns with two spaces between them.
size_t total(const std::vector<size_t>& widths) {
  return std::accumulate(widths.begin(), widths.end(), 2 * (widths.size() - 1));
}

void trim_right(std::string& line) { line.erase(line.find_last_not_of(' ') + 1); }

}  // namespace

size_t display_width(std::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    width += width_of(first_character(text));
    text.remove_prefix(first_character(text).size());
  }
  return width;
}

std::string ink(std::string_view text, Ink how, bool colour) {
  constexpr std::array<std::string_view, 5> kCodes = {"", "32", "31;1", "2", "1"};
  const std::string_view code = kCodes[static_cast<size_t>(how)];
  if (!colour || code.empty() || text.empty()) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

std::vector<size_t> Table::widths(size_t limit, bool whole_words) const {
  const size_t most = whole_words ? limit : 16;  // of a word that stays whole
  std::vector<size_t> whole, least;
  for (size_t c = 0; c < columns_.size(); ++c) {
    const bool words = columns_[c].align == Align::left;
    size_t cells = 0, cell_words = 0;
    for (const auto& row : rows_) {
      if (c >= row.size()) continue;
      cells = std::max(cells, display_width(row[c].text));
      cell_words = std::max(cell_words, std::min(most, longest_word(row[c].text)));
    }
    whole.push_back(std::max(cells, display_width(columns_[c].heading)));
    least.push_back(std::max(longest_word(columns_[c].heading), words ? cell_words : cells));
  }
  // The widest of those that can give way does so, a column at a time.
  while (total(whole) > limit) {
    size_t widest = whole.size();
    for (size_t c = 0; c < whole.size(); ++c)
      if (whole[c] > least[c] && (widest == whole.size() || whole[c] > whole[widest])) widest = c;
    if (widest == whole.size()) break;
    --whole[widest];
  }
  // What the lines then need.
  const auto used = [](std::string_view text, size_t width) {
    size_t widest_line = 0;
    for (const std::string& line : cell_lines(text, width))
      widest_line = std::max(widest_line, display_width(line));
    return widest_line;
  };
  for (size_t c = 0; c < columns_.size(); ++c) {
    size_t needed = used(columns_[c].heading, whole[c]);
    for (const auto& row : rows_)
      if (c < row.size()) needed = std::max(needed, used(row[c].text, whole[c]));
    whole[c] = needed;
  }
  return whole;
}

std::string Table::laid_out(const std::vector<size_t>& widths, bool colour) const {
  std::string text;
  const auto add_row = [&](const std::vector<Cell>& cells, bool heading) {
    std::vector<std::vector<std::string>> lines;
    size_t height = 1;
    for (size_t c = 0; c < cells.size(); ++c) {
      lines.push_back(cell_lines(cells[c].text, widths[c]));
      height = std::max(height, lines.back().size());
    }
    for (size_t i = 0; i < height; ++i) {
      std::string line;
      for (size_t c = 0; c < cells.size(); ++c) {
        if (c > 0) line += "  ";
        line += padded(i < lines[c].size() ? lines[c][i] : "", widths[c], columns_[c].align,
                       heading ? Ink::bold : cells[c].ink, colour);
      }
      trim_right(line);
      text += line + "\n";
    }
  };
  std::vector<Cell> headings;
  for (const Column& column : columns_) headings.push_back({column.heading});
  add_row(headings, true);
  for (const auto& row : rows_) add_row(row, false);
  return text;
}

Table Table::only(size_t first, size_t last) const {
  const auto keep = [&](size_t c) { return c < keys_ || (c >= first && c < last); };
  Table part({}, keys_);
  for (size_t c = 0; c < columns_.size(); ++c)
    if (keep(c)) part.columns_.push_back(columns_[c]);
  for (const auto& row : rows_) {
    part.rows_.emplace_back();
    for (size_t c = 0; c < row.size(); ++c)
      if (keep(c)) part.rows_.back().push_back(row[c]);
  }
  return part;
}

// As many columns in each as fit beside the keys, and at least one.
std::vector<Table> Table::parts(size_t limit) const {
  std::vector<Table> parts;
  for (size_t first = std::min(keys_, columns_.size() - 1), last; first < columns_.size();
       first = last) {
    last = first + 1;
    while (last < columns_.size() && total(only(first, last + 1).widths(limit, true)) <= limit)
      ++last;
    parts.push_back(only(first, last));
  }
  return parts;
}

std::string Table::text(bool colour, int columns) const {
  const auto limit = static_cast<size_t>(columns);
  std::string text;
  for (const Table& part : parts(limit)) {
    if (!text.empty()) text += "\n";
    const std::vector<size_t> whole = part.widths(limit, true);
    text += part.laid_out(total(whole) <= limit ? whole : part.widths(limit, false), colour);
  }
  return text;
}

std::string wrapped(std::string_view text, size_t columns, size_t indent) {
  std::string lines;
  size_t width = 0;  // of the last line, its space included
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(" \n"), text.size());
    const std::string_view word = text.substr(0, end);
    if (width > indent && width + display_width(word) > columns) {
      lines.back() = '\n';  // in place of the space
      lines.append(indent, ' ');
      width = indent;
    }
    lines += word;
    width += display_width(word);
    if (end < text.size()) lines += text[end];
    width = end < text.size() && text[end] == '\n' ? 0 : width + 1;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string fitted(std::string_view text, int columns) {
  constexpr size_t kLabel = 7;  // "tplab: ", "  fix: "
  std::string lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const bool labelled = line.starts_with("tplab: ") || line.starts_with("  fix: ");
    const size_t indent = std::min(line.find_first_not_of(' '), line.size());
    lines += wrapped(line, static_cast<size_t>(columns), labelled ? kLabel : indent + 2);
    if (end < text.size()) lines += '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string counted(int64_t n, std::string_view what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

std::string cut_at(std::string_view text, int columns) {
  std::string lines;
  size_t width = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t length = std::max<size_t>(utf8::character_length(text, at), 1);
    const std::string_view character = text.substr(at, length);
    const size_t wide = character == "\n" ? 0 : display_width(character);
    if (width + wide > static_cast<size_t>(columns)) {
      lines += '\n';
      width = 0;
    }
    lines += character;
    width = character == "\n" ? 0 : width + wide;
    at += length;
  }
  return lines;
}

}  // namespace tplab
