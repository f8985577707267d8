// A folder that one run at a time may write to.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace tplab::cli {

// Holds the folder for as long as this exists; the system gives it free however the run ends.
class OwnFolder {
 public:
  OwnFolder() = default;
  ~OwnFolder() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  OwnFolder(const OwnFolder&) = delete;
  OwnFolder& operator=(const OwnFolder&) = delete;

  // False if another run has it. A disk that knows no locks has none.   REQUIRES: called once
  bool lock(const std::string& path) {
    descriptor_ = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
  }

 private:
  int descriptor_ = -1;
};

}  // namespace tplab::cli
