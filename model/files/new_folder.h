// A folder that comes into place at once, when all of its files are there.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tplab {

// Files are made in path(), which is PATH.part; commit() renames it. Without commit() it goes away.
// Everything throws Error(usage), and then PATH is as it was.
class NewFolder {
 public:
  // `names`: the files it may have. `is_ours` says whether a folder that is there already, and has
  // none but these, is an older one of the same kind; any other that is not empty is refused.
  NewFolder(const std::string& path, std::vector<std::string> names,
            bool (*is_ours)(const std::string& folder));
  ~NewFolder();
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  std::string path(const std::string& name = "") const;  // of a file, for now
  void write(const std::string& name, std::string_view text);
  void commit();

 private:
  void check_replaceable(bool (*is_ours)(const std::string& folder)) const;
  void make_part();
  bool has_only_names(const std::string& folder) const;
  [[noreturn]] void refuse(const std::string& what, int error_number) const;

  std::string path_, part_;
  std::vector<std::string> names_;
  int fd_ = -1;  // of the .part, locked
};

}  // namespace tplab
