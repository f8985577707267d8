// tplab's own documentation, which ships inside the library: a text to train on where there is no
// file.
#pragma once

#include <string_view>

#include "sim/text/embedded_text.h"

namespace tplab {

// README.md, the README.md of each folder and the tutorials, as they were when the library was
// built.
std::span<const EmbeddedText> documentation();

// One after the other, an empty line between. UTF-8.
std::string_view documentation_text();

}  // namespace tplab
