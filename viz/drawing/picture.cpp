#include "viz/drawing/picture.h"

#include <algorithm>
#include <limits>

#include "viz/drawing/table.h"

namespace tplab {

std::string one_line(std::string_view text, const TextStyle& style) {
  // Entities apart, what escaped_markup() does is what is wanted: broken UTF-8 and controls go.
  std::string line;
  size_t width = 0;
  const auto columns = static_cast<size_t>(style.columns);
  for (size_t i = 0; i < text.size();) {
    size_t length = 1;
    while (i + length < text.size() &&
           (static_cast<unsigned char>(text[i + length]) & 0xc0u) == 0x80u)
      ++length;
    const std::string_view character = text.substr(i, length);
    i += length;
    const auto first = static_cast<unsigned char>(character.front());
    const bool shown = length == 1 ? first >= ' ' && first < 0x7f
                                   : escaped_markup(character) == character && first != 0xc2;
    const bool kept = shown && (length == 1 || style.unicode);
    width += kept ? display_width(character) : 1;
    const bool last = width > columns || (width == columns && i < text.size());
    if (last) return line + (style.unicode ? "…" : ">");
    line += kept ? std::string(character) : "?";
  }
  return line;
}

std::string title_lines(std::string_view title, const TextStyle& style) {
  std::string lines;
  while (!title.empty()) {
    const size_t end = std::min(title.find('\n'), title.size());
    const TextStyle whole{false, style.unicode, std::numeric_limits<int>::max()};
    lines +=
        wrapped(one_line(title.substr(0, end), whole), static_cast<size_t>(style.columns)) + "\n";
    title.remove_prefix(std::min(end + 1, title.size()));
  }
  return lines;
}

}  // namespace tplab
