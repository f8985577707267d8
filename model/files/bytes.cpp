#include "model/files/bytes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "sim/error.h"
#include "sim/text/utf8.h"

namespace tplab {
namespace {

class FileBytes final : public ByteSource {
 public:
  FileBytes(const std::string& path, int fd, int64_t size) : ByteSource(path, size), fd_(fd) {}
  ~FileBytes() override { close(fd_); }
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

 private:
  void read_within(int64_t offset, void* out, int64_t count) const override {
    auto* to = static_cast<char*>(out);
    while (count > 0) {
      const ssize_t got = pread(fd_, to, static_cast<size_t>(count), offset);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        fail_file(name(), fmt::format("cannot read byte {}: {}", offset, std::strerror(errno)),
                  "check the disk or copy the file again");
      }
      if (got == 0) {
        fail_file(name(), fmt::format("ends at byte {}, shorter than when it was opened", offset),
                  "do not write to a checkpoint while it is read");
      }
      to += got;
      offset += got;
      count -= got;
    }
  }

  int fd_;
};

class MemoryBytes final : public ByteSource {
 public:
  MemoryBytes(std::string bytes, std::string name)
      : ByteSource(std::move(name), static_cast<int64_t>(bytes.size())), bytes_(std::move(bytes)) {}

 private:
  void read_within(int64_t offset, void* out, int64_t count) const override {
    std::memcpy(out, bytes_.data() + offset, static_cast<size_t>(count));
  }

  std::string bytes_;
};

[[noreturn]] void refuse_unopened(const std::string& path, int error_number) {
  std::error_code none;
  const std::filesystem::path target = std::filesystem::read_symlink(path, none);
  if (error_number == ENOENT && !target.empty()) {
    fail_file(path, fmt::format("is a link to {}, which is not there", in_quotes(target.string())),
              "download or copy it again, with what its links point to");
  }
  fail_file(path, fmt::format("cannot be opened: {}", std::strerror(error_number)),
            "check the path and its permissions");
}

void refuse_lfs_pointer(const ByteSource& file) {
  constexpr std::string_view kBegin = "version https://git-lfs.github.com/spec/";
  constexpr int64_t kMostBytes = 1024;  // by Git LFS's specification
  if (file.size() > kMostBytes || begin_of(file, kBegin.size()) != kBegin) return;
  fail_file(file.name(), "is a Git LFS pointer, not the file itself",
            "fetch the file, in the folder that was cloned: git lfs pull");
}

}  // namespace

std::string begin_of(const ByteSource& source, size_t most) {
  std::string begin(std::min(most, static_cast<size_t>(source.size())), '\0');
  source.read(0, begin.data(), static_cast<int64_t>(begin.size()));
  return begin;
}

void ByteSource::read(int64_t offset, void* out, int64_t count) const {
  if (offset < 0 || count < 0 || count > size_ || offset > size_ - count) {
    fail_file(name_,
              fmt::format("{} bytes at {} were asked for; the file has {}", count, offset, size_),
              "the file is truncated or corrupt: download or copy it again");
  }
  if (count > 0) read_within(offset, out, count);
}

std::shared_ptr<const ByteSource> open_file(const std::string& path) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) refuse_unopened(path, errno);
  struct stat status = {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd);
    fail_file(path, S_ISDIR(status.st_mode) ? "is a folder, not a file" : "is not a regular file",
              "give the path of a file");
  }
  auto file = std::make_shared<FileBytes>(path, fd, static_cast<int64_t>(status.st_size));
  refuse_lfs_pointer(*file);
  return file;
}

std::shared_ptr<const ByteSource> bytes_in_memory(std::string bytes, std::string name) {
  return std::make_shared<MemoryBytes>(std::move(bytes), std::move(name));
}

std::string read_all(const ByteSource& source, int64_t most) {
  if (source.size() > most) {
    fail_file(
        source.name(),
        fmt::format("has {} bytes; no file of its kind needs more than {}", source.size(), most),
        "check that this is the file you meant");
  }
  std::string text(static_cast<size_t>(source.size()), '\0');
  source.read(0, text.data(), source.size());
  return text;
}

bool may_exist(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;  // its type is none then
  return fs::symlink_status(path, ignored).type() != fs::file_type::not_found;
}

std::string in_quotes(std::string_view name) {
  constexpr size_t kMost = 100;
  size_t size = std::min(name.size(), kMost);
  for (int i = 0; i < 3 && size < name.size() && (name[size] & 0xC0) == 0x80; ++i)
    --size;  // to the beginning of a character
  return fmt::format("'{}{}'", printable_line(name.substr(0, size)),
                     size < name.size() ? "..." : "");
}

std::string list_text(const std::vector<std::string>& items) {
  constexpr size_t kMost = 6;
  std::string text;
  for (size_t i = 0; i < std::min(items.size(), kMost); ++i) {
    text += (i == 0 ? "" : ", ") + items[i];
  }
  if (items.size() > kMost) text += fmt::format(" and {} more", items.size() - kMost);
  return text;
}

}  // namespace tplab
