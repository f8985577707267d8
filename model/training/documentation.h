// tplab's own documentation, which ships inside the library: a text to train on where there is no
// file.
#pragma once

#include <string_view>

namespace tplab {

// README.md, the README.md of each folder and the tutorials, one after the other, as they were when
// the library was built (cmake/EmbedDocumentation.cmake). UTF-8.
std::string_view documentation_text();

}  // namespace tplab
