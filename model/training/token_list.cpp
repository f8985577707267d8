// Ids in a file are checked whenever they are read: an id past the vocabulary would be a read past
// the embedding.
#include "model/training/token_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "sim/error.h"

namespace tplab {
namespace {

constexpr int64_t kIdBytes = sizeof(uint16_t);

// Reads ids begin .. begin + count - 1 and throws unless all are below vocab_size.
void read_ids(const ByteSource& file, int64_t vocab_size, int64_t begin, int64_t count,
              uint16_t* out) {
  static_assert(std::endian::native == std::endian::little);
  file.read(begin * kIdBytes, out, count * kIdBytes);
  // The largest first: a loop without a branch is as fast as memory.
  if (count == 0 || *std::max_element(out, out + count) < vocab_size) return;
  const auto* bad = std::find_if(out, out + count, [&](uint16_t id) { return id >= vocab_size; });
  fail_file(file.name(),
            fmt::format("token {} (number {}, from 0) is outside the vocabulary of {}", *bad,
                        begin + (bad - out), vocab_size),
            "the file was made with another tokenizer: give it the meta.pkl or the tokenizer that "
            "it was made with, or a model with that vocabulary");
}

}  // namespace

TokenList::TokenList(std::shared_ptr<const ByteSource> file, int64_t vocab_size) {
  if (file->size() == 0)
    fail_file(file->name(), "is empty", "make it with nanoGPT's data/DATASET/prepare.py");
  if (file->size() % kIdBytes != 0) {
    fail_file(file->name(),
              fmt::format("has {} bytes, an odd number, and tokens of 2 bytes", file->size()),
              "the file is truncated, or not nanoGPT's: make it with data/DATASET/prepare.py");
  }
  constexpr int64_t kBlock = int64_t{1} << 19;  // 1 MiB
  const int64_t n_ids = file->size() / kIdBytes;
  std::vector<uint16_t> block(static_cast<size_t>(std::min(kBlock, n_ids)));
  for (int64_t at = 0; at < n_ids; at += kBlock)
    read_ids(*file, vocab_size, at, std::min(kBlock, n_ids - at), block.data());
  ids_ = File{std::move(file), vocab_size};
}

int64_t TokenList::size() const {
  if (const auto* file = std::get_if<File>(&ids_)) return file->bytes->size() / kIdBytes;
  return static_cast<int64_t>(std::get<std::vector<int32_t>>(ids_).size());
}

void TokenList::read(int64_t begin, int64_t count, int32_t* out) const {
  if (const auto* file = std::get_if<File>(&ids_)) {
    std::vector<uint16_t> staging(static_cast<size_t>(count));
    read_ids(*file->bytes, file->vocab_size, begin, count, staging.data());
    std::copy(staging.begin(), staging.end(), out);
  } else {
    std::copy_n(std::get<std::vector<int32_t>>(ids_).begin() + begin, count, out);
  }
}

}  // namespace tplab
