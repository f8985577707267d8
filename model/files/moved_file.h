// Files that a run names beside its own folder: found again when both have moved together.
#pragma once

#include <string>

namespace tplab {

// "../input.txt": the way from the folder to the file; empty where there is none.
std::string way_from(const std::string& folder, const std::string& path);

// Where that way leads from the folder as it lies now, if something is there; else `path` as it is.
std::string find_again(const std::string& folder, const std::string& way, const std::string& path);

}  // namespace tplab
