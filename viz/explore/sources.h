// Texts of this build: the model's source that was compiled, and the explorer page's own files.
// Written by cmake/EmbedTexts.cmake.
#pragma once

#include <string_view>

namespace tplab::explore {

// By its path in the project: "model/attention.cpp". Throws Error(run) for one not embedded.
std::string_view embedded_text(std::string_view path);

}  // namespace tplab::explore
