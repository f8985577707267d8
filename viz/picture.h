// What every kind of picture is: a graph for a file, and the same as text for the terminal.
#pragma once

#include <string>

#include "viz/graph.h"

namespace tplab {

// How a terminal shows text. Without Unicode only ASCII is written; without colour nothing is lost,
// since colour never stands alone.
struct TextStyle {
  bool colour = false, unicode = true;
  int columns = 80;
};

}  // namespace tplab
