// Only files that we would have written ourselves are ever removed.
#include "model/files/new_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <new>
#include <utility>

#include "model/files/locked_file.h"
#include "sim/error.h"

namespace tplab {
namespace {

namespace fs = std::filesystem;

// "out/" is the folder "out", and its .part stands beside it, not in it.
std::string without_slash(const std::string& path) {
  const fs::path folder = path;
  return folder.has_filename() ? path : folder.parent_path().string();
}

}  // namespace

NewFolder::NewFolder(const std::string& path, std::vector<std::string> names,
                     bool (*is_ours)(const std::string& folder))
    : path_(resolved_path(without_slash(path))), part_(path_ + ".part"), names_(std::move(names)) {
  check_replaceable(is_ours);
  make_part();
}

NewFolder::~NewFolder() {
  if (fd_ < 0) return;
  try {
    std::error_code ignored;
    if (has_only_names(part_)) fs::remove_all(part_, ignored);
  } catch (const std::bad_alloc&) {  // it stays behind, and the next export takes it away
  }
  close(fd_);
}

std::string NewFolder::path(const std::string& name) const {
  return (fs::path(part_) / name).string();
}

void NewFolder::refuse(const std::string& what, int error_number) const {
  fail_write(fmt::format("{}: {}", path_, what), error_number,
             "choose a folder that you can write to; nothing that was there is lost");
}

// Of a file that was being written, the .part too.
bool NewFolder::has_only_names(const std::string& folder) const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    std::string name = entry.path().filename().string();
    if (name.ends_with(".part")) name.resize(name.size() - 5);
    if (!entry.is_regular_file(error)) return false;
    if (std::find(names_.begin(), names_.end(), name) == names_.end()) return false;
  }
  return !error;
}

void NewFolder::check_replaceable(bool (*is_ours)(const std::string& folder)) const {
  std::error_code error;
  const fs::file_type kind = fs::status(path_, error).type();
  if (kind == fs::file_type::not_found) return;
  if (kind != fs::file_type::directory) {
    fail(fmt::format("{}: is there already, and no folder", path_), "choose the name of a folder");
  }
  if (fs::is_empty(path_, error) && !error) return;
  if (has_only_names(path_) && is_ours(path_)) return;
  fail(fmt::format("{}: is a folder with other files in it", path_),
       "choose a new folder, or an empty one: only an older export is replaced");
}

void NewFolder::make_part() {
  std::error_code error;
  if (!fs::create_directory(part_, error) && error) refuse("cannot be made", error.value());
  fd_ = open_locked(part_, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd_ < 0 && errno == EWOULDBLOCK) {
    fail(fmt::format("{}: another process is writing it just now", path_),
         "end one of the two, or choose another folder");
  }
  if (fd_ < 0) refuse("cannot be written", errno);
  if (has_only_names(part_)) {  // what a killed process left
    for (const auto& entry : fs::directory_iterator(part_, error)) fs::remove(entry.path(), error);
    return;
  }
  close(std::exchange(fd_, -1));
  fail(fmt::format("{}: has other files in it, and is where the export would be made", part_),
       "move it away, or choose another folder");
}

void NewFolder::write(const std::string& name, std::string_view text) {
  std::FILE* file = std::fopen(path(name).c_str(), "wb");
  if (!file) refuse(name + " cannot be written", errno);
  bool good = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  good = std::fflush(file) == 0 && fsync(fileno(file)) == 0 && good;
  const int error_number = errno;
  if (std::fclose(file) != 0 || !good) refuse(name + " cannot be written", error_number);
}

void NewFolder::commit() {
  std::error_code ignored;
  const bool replaces = fs::exists(path_, ignored) && !fs::is_empty(path_, ignored);
  // An older export changes places with the new one, so that at no moment there is none.
  const int failed =
      replaces ? renameat2(AT_FDCWD, part_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE)
               : std::rename(part_.c_str(), path_.c_str());
  if (failed != 0 && replaces) {
    fail(fmt::format("{}: the older export cannot be replaced: {}", path_, std::strerror(errno)),
         "remove it first, or choose another folder");
  }
  if (failed != 0) refuse("cannot be put in place", errno);
  if (replaces && has_only_names(part_)) fs::remove_all(part_, ignored);
  close(std::exchange(fd_, -1));
  sync_folder_of(path_);
}

}  // namespace tplab
