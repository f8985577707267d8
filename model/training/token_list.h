// A long list of token ids to train on: in memory, or in a file of ids as NumPy's tofile writes
// them.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "model/files/bytes.h"

namespace tplab {

// How a file writes an id: a whole number of so many bytes, little-endian. nanoGPT's is 2.
enum class IdWidth : int64_t { automatic = 0, one = 1, two = 2, four = 4, eight = 8 };

// "auto", "uint16"; "int32" is "uint32" of ids. Throws Error(usage) for other words.
IdWidth parse_id_width(std::string_view name);
std::string_view name(IdWidth width);

// Immutable; safe to read from many threads at once. A file is read by position, so that 10^9
// tokens need no memory of ours.
class TokenList {
 public:
  TokenList() = default;
  explicit TokenList(std::vector<int32_t> ids) : ids_(std::move(ids)) {}
  // train.bin or val.bin. Every id is looked at. Where no width is given, the numbers tell it; what
  // looks like something else (big-endian, float32, .npy, a text) is refused by what it looks like.
  // Throws Error(bad_file), also for an id that is not below vocab_size.
  TokenList(std::shared_ptr<const ByteSource> file, int64_t vocab_size,
            IdWidth width = IdWidth::automatic);

  int64_t size() const;
  IdWidth width() const;  // of a file's ids; automatic for a list in memory
  // ids[begin] .. ids[begin + count - 1] to out. REQUIRES: they exist. Throws Error(bad_file) where
  // the file cannot be read any more, or has changed to ids outside the vocabulary.
  void read(int64_t begin, int64_t count, int32_t* out) const;

 private:
  struct File {
    std::shared_ptr<const ByteSource> bytes;
    int64_t vocab_size;
    IdWidth width;
  };
  std::variant<std::vector<int32_t>, File> ids_;
};

}  // namespace tplab
