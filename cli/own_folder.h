// A folder that one run at a time may write to.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace tplab::cli {

// Holds the folder for as long as this exists; the system gives it free however the run ends.
// Folders that it made and in which nothing is then are removed.
class OwnFolder {
 public:
  OwnFolder() = default;
  ~OwnFolder() {
    if (is_where_it_was())
      for (const std::filesystem::path& made : made_) rmdir(made.c_str());  // what is empty
    if (descriptor_ >= 0) close(descriptor_);
  }
  OwnFolder(const OwnFolder&) = delete;
  OwnFolder& operator=(const OwnFolder&) = delete;

  // With the folders above it that are missing.
  void make(const std::string& path, std::error_code& error) {
    std::filesystem::path missing = path;
    for (; !missing.empty() && !std::filesystem::exists(missing, error);
         missing = missing.parent_path())
      made_.push_back(missing);
    std::filesystem::create_directories(path, error);
  }

  // False if another run has it. A disk that knows no locks has none.   REQUIRES: called once
  bool lock(const std::string& path) {
    path_ = path;
    descriptor_ = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
  }

 private:
  // False where somebody has moved it, and perhaps put something in its place.
  bool is_where_it_was() const {
    struct stat held = {}, there = {};
    if (descriptor_ < 0) return true;
    return fstat(descriptor_, &held) == 0 && lstat(path_.c_str(), &there) == 0 &&
           held.st_dev == there.st_dev && held.st_ino == there.st_ino;
  }

  std::string path_;
  std::vector<std::filesystem::path> made_;  // the deepest first
  int descriptor_ = -1;
};

}  // namespace tplab::cli
