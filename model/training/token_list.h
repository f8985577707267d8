// A long list of token ids to train on: in memory, or in nanoGPT's file of 16-bit ids.
#pragma once

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "model/checkpoints/bytes.h"

namespace tplab {

// Immutable; safe to read from many threads at once. A file is read by position, so that 10^9
// tokens need no memory of ours.
class TokenList {
 public:
  TokenList() = default;
  explicit TokenList(std::vector<int32_t> ids) : ids_(std::move(ids)) {}
  // nanoGPT's train.bin or val.bin: uint16, little-endian. Every id is looked at once. Throws
  // Error(bad_file) where the length is odd or zero, or an id is not below vocab_size.
  TokenList(std::shared_ptr<const ByteSource> file, int64_t vocab_size);

  int64_t size() const;
  // ids[begin] .. ids[begin + count - 1] to out. REQUIRES: they exist. Throws Error(bad_file) where
  // the file cannot be read any more, or has changed to ids outside the vocabulary.
  void read(int64_t begin, int64_t count, int32_t* out) const;

 private:
  struct File {
    std::shared_ptr<const ByteSource> bytes;
    int64_t vocab_size;
  };
  std::variant<std::vector<int32_t>, File> ids_;
};

}  // namespace tplab
