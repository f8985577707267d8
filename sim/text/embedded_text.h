// A text file of the project that is part of a library (cmake/EmbedTexts.cmake).
#pragma once

#include <span>
#include <string_view>

namespace tplab {

struct EmbeddedText {
  std::string_view path;  // in the project: "model/layers/attention.cpp"
  std::string_view text;
};

}  // namespace tplab
