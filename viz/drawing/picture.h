// What every kind of picture is: a graph for a file, and the same as text for the terminal.
#pragma once

#include <string>
#include <string_view>

#include "viz/drawing/graph.h"

namespace tplab {

// How a terminal shows text. Without Unicode only ASCII is written; without colour nothing is lost,
// since colour never stands alone.
struct TextStyle {
  bool colour = false, unicode = true;
  int columns = 80;
};

// A text from outside (a path, a name in a checkpoint) as one line of at most style.columns: cut
// short with a sign, and with '?' for what a terminal would obey or could not show.
std::string one_line(std::string_view text, const TextStyle& style);

// The lines of a title that may hold such a text, broken to fit; each ends in '\n'.
std::string title_lines(std::string_view title, const TextStyle& style);

}  // namespace tplab
