// A lock is the kernel's, so that it goes when its process does, however that ends.
#include "model/files/locked_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "sim/error.h"

namespace tplab {
namespace {

namespace fs = std::filesystem;

bool is_same_file(int fd, const std::string& path) {
  struct stat opened = {}, named = {};
  return fstat(fd, &opened) == 0 && stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

std::string resolved_path(const std::string& path) {
  std::error_code error;
  const fs::path target = fs::weakly_canonical(path, error);
  return error ? path : target.string();
}

int open_locked(const std::string& path, int flags) {
  while (true) {
    const int fd = open(path.c_str(), flags, 0666);
    if (fd < 0) return -1;
    const bool is_taken = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    // Its last owner may have renamed it meanwhile: then it is a finished file, not ours to change.
    if (!is_taken && is_same_file(fd, path)) return fd;
    close(fd);
    if (!is_taken) continue;
    errno = EWOULDBLOCK;
    return -1;
  }
}

void link_or_copy(const std::string& from, const std::string& to, const std::string& fix) {
  std::error_code error;
  fs::create_hard_link(from, to, error);
  if (!error) return;
  fs::copy_file(from, to, error);
  const int fd = error ? -1 : open(to.c_str(), O_RDONLY | O_CLOEXEC);
  if (!error && (fd < 0 || fsync(fd) != 0)) error.assign(errno, std::generic_category());
  if (fd >= 0) close(fd);
  if (error) fail_write(to + ": cannot be written", error.value(), fix);
}

bool sync_folder_of(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  const int fd = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno == EACCES;  // a folder one may write to but not list
  const bool is_synced = fsync(fd) == 0 || errno == EINVAL;  // file systems that have no such thing
  const int error_number = errno;
  close(fd);
  errno = error_number;
  return is_synced;
}

}  // namespace tplab
