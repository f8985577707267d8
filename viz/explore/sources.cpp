#include "viz/explore/sources.h"

#include <fmt/format.h>

#include "sim/error.h"

namespace tplab::explore {

std::string_view embedded_text(std::string_view path) {
  for (const EmbeddedText& source : explorer_sources())
    if (source.path == path) return source.text;
  throw Error(ErrorKind::run, fmt::format("{} is not embedded in this build", path),
              "add it to explorer_sources in CMakeLists.txt");
}

}  // namespace tplab::explore
