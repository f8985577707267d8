// What a file is that should be UTF-8 text and is not, and what to do about it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tplab {

struct NotText {
  std::string what;  // "is UTF-16, not UTF-8": goes after the file's name
  std::string fix;
};

// Nothing for UTF-8. Looks at the whole text for that, and at a part for what else it may be.
std::optional<NotText> not_text(std::string_view bytes);

}  // namespace tplab
