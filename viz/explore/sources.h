// Texts of this build: the model's source that was compiled, and the explorer page's own files.
#pragma once

#include "sim/text/embedded_text.h"

namespace tplab {

std::span<const EmbeddedText> explorer_sources();

namespace explore {

// By its path in the project. Throws Error(run) for one not embedded.
std::string_view embedded_text(std::string_view path);

}  // namespace explore
}  // namespace tplab
