// Ids in a file are checked whenever they are read: an id past the vocabulary would be a read past
// the embedding.
#include "model/training/token_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string>

#include "model/training/token_file.h"
#include "sim/error.h"

namespace tplab {
namespace {

// Reads ids begin .. begin + count - 1 and throws unless all are below vocab_size.
template <class Id>
void read_ids(const ByteSource& file, int64_t vocab_size, int64_t begin, int64_t count,
              int32_t* out) {
  static_assert(std::endian::native == std::endian::little);
  constexpr int64_t kBytes = sizeof(Id);
  std::vector<Id> ids(static_cast<size_t>(count));
  file.read(begin * kBytes, ids.data(), count * kBytes);
  const auto is_bad = [&](Id id) { return id >= static_cast<uint64_t>(vocab_size); };
  // The largest first: a loop without a branch is as fast as memory.
  if (count > 0 && is_bad(*std::max_element(ids.begin(), ids.end()))) {
    const auto bad = std::find_if(ids.begin(), ids.end(), is_bad);
    refuse_id(file, vocab_size, static_cast<uint64_t>(*bad), begin + (bad - ids.begin()));
  }
  std::copy(ids.begin(), ids.end(), out);
}

struct WidthName {
  std::string_view name;
  IdWidth width;
};
constexpr WidthName kWidthNames[] = {{"auto", IdWidth::automatic}, {"uint8", IdWidth::one},
                                     {"uint16", IdWidth::two},     {"uint32", IdWidth::four},
                                     {"int64", IdWidth::eight},    {"int16", IdWidth::two},
                                     {"int32", IdWidth::four},     {"uint64", IdWidth::eight}};

}  // namespace

IdWidth parse_id_width(std::string_view name) {
  for (const WidthName& row : kWidthNames)
    if (row.name == name) return row.width;
  fail(fmt::format("{} is no kind of token id", in_quotes(name)),
       "use auto, uint8, uint16, uint32 or int64");
}

std::string_view name(IdWidth width) {
  return std::find_if(std::begin(kWidthNames), std::end(kWidthNames),
                      [&](const WidthName& row) { return row.width == width; })
      ->name;
}

TokenList::TokenList(std::shared_ptr<const ByteSource> file, int64_t vocab_size, IdWidth width) {
  const IdWidth found = find_id_width(*file, vocab_size, width);
  ids_ = File{std::move(file), vocab_size, found};
  constexpr int64_t kBlock = int64_t{1} << 18;
  std::vector<int32_t> block(static_cast<size_t>(std::min(kBlock, size())));
  for (int64_t at = 0; at < size(); at += kBlock)
    read(at, std::min(kBlock, size() - at), block.data());
}

int64_t TokenList::size() const {
  if (const auto* file = std::get_if<File>(&ids_))
    return file->bytes->size() / static_cast<int64_t>(file->width);
  return static_cast<int64_t>(std::get<std::vector<int32_t>>(ids_).size());
}

IdWidth TokenList::width() const {
  const auto* file = std::get_if<File>(&ids_);
  return file ? file->width : IdWidth::automatic;
}

void TokenList::read(int64_t begin, int64_t count, int32_t* out) const {
  const auto* file = std::get_if<File>(&ids_);
  if (!file) {
    std::copy_n(std::get<std::vector<int32_t>>(ids_).begin() + begin, count, out);
    return;
  }
  const auto read_as = [&](auto id) {
    read_ids<decltype(id)>(*file->bytes, file->vocab_size, begin, count, out);
  };
  switch (file->width) {
    case IdWidth::one:
      return read_as(uint8_t{});
    case IdWidth::automatic:
    case IdWidth::two:
      return read_as(uint16_t{});
    case IdWidth::four:
      return read_as(uint32_t{});
    case IdWidth::eight:
      return read_as(uint64_t{});
  }
}

}  // namespace tplab
