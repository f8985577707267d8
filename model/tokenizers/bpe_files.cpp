#include "model/tokenizers/bpe_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/files/bytes.h"
#include "model/files/json.h"
#include "sim/error.h"
#include "sim/text/utf8.h"

namespace tplab {

namespace {

constexpr const char* kFix =
    "download the file again, or give the vocab.json and merges.txt of one model";

std::string with_article(const std::string& noun) {
  return (noun.find_first_of("aeiou") == 0 ? "an " : "a ") + noun;
}

}  // namespace

void read_vocab(const nlohmann::json& object, WrittenBpe& written) {
  for (const auto& [spelling, id] : object.items()) {
    if (spelling.empty()) fail_file(written.vocab_name, "a token is empty", kFix);
    if (!id.is_number_unsigned()) {
      fail_file(written.vocab_name,
                fmt::format("the token {} has {} where an id should be", in_quotes(spelling),
                            id.is_number() ? json_text(id) : with_article(id.type_name())),
                kFix);
    }
    written.vocab.emplace(spelling, checked_id(id.get<uint64_t>(), spelling, written.vocab_name));
  }
}

void read_merge(std::string_view pair, size_t number, WrittenBpe& written) {
  const auto refuse = [&](const std::string& what) {
    fail_file(written.merges_name, fmt::format("{} {}: {}", written.merge_word, number, what),
              kFix);
  };
  if (utf8::first_invalid(pair) != std::string_view::npos) refuse("a token that is not UTF-8");
  const size_t space = pair.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == pair.size() ||
      pair.find(' ', space + 1) != std::string_view::npos)
    refuse("not two tokens with one space between them");
  written.merges.push_back({.left = std::string(pair.substr(0, space)),
                            .right = std::string(pair.substr(space + 1)),
                            .number = number});
}

WrittenBpe read_bpe(std::string_view vocab, const std::string& vocab_name, std::string_view merges,
                    const std::string& merges_name) {
  WrittenBpe written;
  written.vocab_name = vocab_name;
  written.merges_name = merges_name;
  read_vocab(parse_json_object(vocab, vocab_name), written);
  merges.remove_prefix(utf8::mark_length(merges));
  size_t number = 0;
  for (size_t at = 0; at < merges.size();) {
    const size_t end = std::min(merges.find('\n', at), merges.size());
    std::string_view line = merges.substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    read_merge(line, number, written);
  }
  return written;
}

}  // namespace tplab
