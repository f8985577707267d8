#include "model/files/moved_file.h"

#include <filesystem>

#include "model/files/bytes.h"

namespace tplab {

namespace fs = std::filesystem;

std::string way_from(const std::string& folder, const std::string& path) {
  std::error_code error;
  const fs::path way = fs::relative(path, folder.empty() ? "." : folder, error);
  return error ? "" : way.string();
}

std::string find_again(const std::string& folder, const std::string& way, const std::string& path) {
  if (way.empty()) return path;
  std::error_code error;  // links are followed, as they were when the way was found
  const fs::path base = fs::weakly_canonical(folder.empty() ? "." : folder, error);
  const std::string found = (base / way).lexically_normal().string();
  if (error || !may_exist(found)) return path;
  return fs::equivalent(found, path, error) ? path : found;  // the shorter name, if it is one
}

}  // namespace tplab
