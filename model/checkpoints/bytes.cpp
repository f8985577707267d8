#include "model/checkpoints/bytes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "sim/error.h"

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

}  // namespace

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
  if (fd < 0) {
    fail_file(path, fmt::format("cannot be opened: {}", std::strerror(errno)),
              "check the path and its permissions");
  }
  struct stat status = {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd);
    fail_file(path, "is not a regular file", "give the path of a file");
  }
  return std::make_shared<FileBytes>(path, fd, static_cast<int64_t>(status.st_size));
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
  std::error_code error;
  return std::filesystem::exists(path, error) || error;
}

std::string in_quotes(std::string_view name) {
  constexpr size_t kMost = 100;
  std::string shown = "'";
  for (const char c : name.substr(0, kMost)) {
    const auto byte = static_cast<unsigned char>(c);
    shown += byte >= 0x20 && byte < 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  return shown + (name.size() > kMost ? "...'" : "'");
}

}  // namespace tplab
