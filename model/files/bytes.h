// Bytes read by position: a file, or memory in the fuzzers and tests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tplab {

// Immutable once made; safe to read from many threads at once.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  int64_t size() const { return size_; }
  const std::string& name() const { return name_; }  // a path, for messages
  // Fills out with the `count` bytes at `offset`. Throws Error(bad_file) where they do not exist
  // or cannot be read.
  void read(int64_t offset, void* out, int64_t count) const;

 protected:
  ByteSource(std::string name, int64_t size) : name_(std::move(name)), size_(size) {}

 private:
  // REQUIRES: [offset, offset + count) lies within the source and count > 0.
  virtual void read_within(int64_t offset, void* out, int64_t count) const = 0;

  std::string name_;
  int64_t size_;
};

// Opens a regular file; nothing of it is kept in memory. Throws Error(bad_file), also for a pointer
// that Git LFS left in the place of a file.
std::shared_ptr<const ByteSource> open_file(const std::string& path);

// Keeps a copy of the bytes.
std::shared_ptr<const ByteSource> bytes_in_memory(std::string bytes, std::string name);

// A small file whole. Throws Error(bad_file), before allocating, where it has more than `most`
// bytes.
std::string read_all(const ByteSource& source, int64_t most);

// The first bytes, `most` or as many as there are.
std::string begin_of(const ByteSource& source, size_t most);

// Whether there is anything at `path`, a link that leads nowhere too, or something may be that
// cannot be seen.
bool may_exist(const std::string& path);

// How a name from a file may be shown: in quotes, as printable_line (sim/text/utf8.h), long ones
// cut.
std::string in_quotes(std::string_view name);

// "a, b, c and 12 more"
std::string list_text(const std::vector<std::string>& items);

}  // namespace tplab
