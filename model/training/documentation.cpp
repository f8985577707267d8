#include "model/training/documentation.h"

#include <string>

namespace tplab {

std::string_view documentation_text() {
  static const std::string all = [] {
    std::string text;
    for (const EmbeddedText& document : documentation()) text.append(document.text).push_back('\n');
    return text;
  }();
  return all;
}

}  // namespace tplab
