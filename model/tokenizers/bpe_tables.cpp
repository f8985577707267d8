// Nothing in a file is trusted: each entry is checked against the ones read before it.
#include "model/tokenizers/bpe_tables.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/files/bytes.h"
#include "model/tokenizers/byte_alphabet.h"
#include "sim/error.h"

namespace tplab {

namespace {

constexpr const char* kTablesFix =
    "download the file again, or give the vocab.json and merges.txt of one model";
constexpr std::string_view kEndOfText = "<|endoftext|>";

// --- Tokens by id

// Ids may leave gaps, but not so large ones that a small file asks for much memory.
size_t n_ids(const WrittenBpe& written) {
  const size_t n_tokens = written.vocab.size() + written.added.size();
  int64_t largest = -1;
  for (const auto& [spelling, id] : written.vocab) largest = std::max<int64_t>(largest, id);
  for (const auto& [content, token] : written.added) largest = std::max<int64_t>(largest, token.id);
  if (largest < static_cast<int64_t>(2 * n_tokens + 1024)) return static_cast<size_t>(largest + 1);
  fail_file(written.vocab_name,
            fmt::format("id {} is too large for {} tokens: ids should run from 0 to {}", largest,
                        n_tokens, static_cast<int64_t>(n_tokens) - 1),
            kTablesFix);
}

void put_vocabulary(const WrittenBpe& written, std::vector<std::string>& tokens) {
  std::vector<const std::string*> spellings(tokens.size());
  for (const auto& [spelling, id] : written.vocab) {
    const std::string*& place = spellings[static_cast<size_t>(id)];
    if (place) {
      const auto [first, second] = std::minmax(*place, spelling);
      fail_file(written.vocab_name,
                fmt::format("two tokens have the id {}: {} and {}", id, in_quotes(first),
                            in_quotes(second)),
                kTablesFix);
    }
    place = &spelling;
    // One that is not in the alphabet is no merge's, and stands for itself.
    tokens[static_cast<size_t>(id)] = bytes_of(spelling).value_or(spelling);
  }
}

void put_added(const WrittenBpe& written, std::vector<std::string>& tokens) {
  for (const auto& [content, token] : written.added) {
    std::string& place = tokens[static_cast<size_t>(token.id)];
    const auto same = written.vocab.find(token.content);
    const bool is_there = same != written.vocab.end();
    if (is_there && same->second != token.id) {
      fail_file(token.file,
                fmt::format("the added token {} has the id {}, and {} in the vocabulary",
                            in_quotes(token.content), token.id, same->second),
                kTablesFix);
    }
    if (!is_there && !place.empty() && place != token.content) {
      fail_file(token.file,
                fmt::format("the added token {} has the id {}, which is the token {}",
                            in_quotes(token.content), token.id, in_quotes(place)),
                "give the added token the next free id, as the model was trained with");
    }
    place = token.content;
  }
}

// Tokens that are special are looked for in texts as they are. GPT-2's own needs no list.
void add_special(WrittenBpe& written) {
  if (written.vocab.contains(std::string(kEndOfText)))
    written.special.emplace(kEndOfText, written.vocab_name);
  for (const auto& [content, file] : written.special) {
    if (content.empty()) continue;
    const auto added = written.added.find(content);
    const auto known = written.vocab.find(content);
    if (added != written.added.end()) {
      added->second.special = true;
    } else if (known != written.vocab.end()) {
      written.added.emplace(content, AddedToken{.content = content,
                                                .id = known->second,
                                                .special = true,
                                                .file = written.vocab_name});
    } else {
      written.notes.push_back(
          fmt::format("{}: its special token {} has no id: left out", file, in_quotes(content)));
    }
  }
}

void note_gaps(const std::vector<std::string>& tokens, const std::string& name,
               std::vector<std::string>& notes) {
  const auto gaps = std::count(tokens.begin(), tokens.end(), "");
  if (gaps == 0) return;
  const auto first = std::find(tokens.begin(), tokens.end(), "") - tokens.begin();
  notes.push_back(fmt::format("{}: no token has the id {}{}", name, first,
                              gaps == 1 ? "" : fmt::format(" ({} such ids)", gaps)));
}

// --- Merges

[[noreturn]] void refuse_merge(const WrittenBpe& written, const WrittenBpe::Merge& merge,
                               const std::string& what) {
  fail_file(written.merges_name, fmt::format("{} {}: {}", written.merge_word, merge.number, what),
            kTablesFix);
}

void read_merges(const WrittenBpe& written, BpeTables& tables) {
  for (const WrittenBpe::Merge& merge : written.merges) {
    const auto id_of = [&](const std::string& spelling) {
      const auto found = written.vocab.find(spelling);
      if (found == written.vocab.end()) {
        refuse_merge(
            written, merge,
            in_quotes(spelling) + (bytes_of(spelling) ? " is not in the vocabulary"
                                                      : " is not written in GPT-2's byte alphabet: "
                                                        "this is no byte-level BPE"));
      }
      return found->second;
    };
    const int left = id_of(merge.left), right = id_of(merge.right);
    const auto result = written.vocab.find(merge.left + merge.right);
    const auto pair = [&] { return in_quotes(merge.left + " " + merge.right); };
    if (result == written.vocab.end())
      refuse_merge(written, merge, "the vocabulary has no token for the pair " + pair());
    const BpeMerge made{.rank = static_cast<int>(tables.merges.size()), .result = result->second};
    if (!tables.merges.emplace(BpeTables::pair_key(left, right), made).second)
      refuse_merge(written, merge, "the pair " + pair() + " appears twice");
  }
}

// What bytes and merges come to, by id.
std::vector<bool> made_tokens(const BpeTables& tables) {
  std::vector<bool> is_made(tables.tokens.size());
  for (const int id : tables.byte_ids)
    if (id != BpeTables::kNoToken) is_made[static_cast<size_t>(id)] = true;
  for (const auto& [pair, merge] : tables.merges) is_made[static_cast<size_t>(merge.result)] = true;
  return is_made;
}

bool looks_special(std::string_view token) {
  return (token.starts_with('<') && token.ends_with('>')) ||
         (token.starts_with('[') && token.ends_with(']'));
}

// Whether it is two other tokens put together, as what a merge makes is.
bool could_be_made(const std::string& spelling, const WrittenBpe& written) {
  constexpr size_t kLongest = 1000;
  if (spelling.size() > kLongest) return false;
  for (size_t at = 1; at < spelling.size(); ++at) {
    if (written.vocab.contains(spelling.substr(0, at)) &&
        written.vocab.contains(spelling.substr(at)))
      return true;
  }
  return false;
}

// Merges take only what bytes and merges make; and of what they do not make, few tokens look as if
// they should.
void check_merges(const WrittenBpe& written, BpeTables& tables) {
  const std::vector<bool> is_made = made_tokens(tables);
  for (const auto& [pair, made] : tables.merges) {
    const WrittenBpe::Merge& merge = written.merges[static_cast<size_t>(made.rank)];
    const bool is_left_made = is_made[static_cast<size_t>(pair >> 32)];
    if (is_left_made && is_made[static_cast<size_t>(static_cast<uint32_t>(pair))]) continue;
    refuse_merge(written, merge,
                 in_quotes(is_left_made ? merge.right : merge.left) +
                     " is no byte, and no merge makes it: lines are missing, or this is no "
                     "byte-level BPE");
  }
  std::vector<bool> is_added(tables.tokens.size());
  for (const auto& [content, token] : written.added) is_added[static_cast<size_t>(token.id)] = true;
  std::vector<std::pair<int, std::string>> unmade;
  for (const auto& [spelling, id] : written.vocab) {
    const auto at = static_cast<size_t>(id);
    if (!is_made[at] && !is_added[at] && !looks_special(spelling))
      unmade.emplace_back(id, spelling);
  }
  if (unmade.empty()) return;
  constexpr int64_t kMostLikeMade = 32;
  std::sort(unmade.begin(), unmade.end());
  const auto like_made = std::count_if(unmade.begin(), unmade.end(), [&](const auto& token) {
    return could_be_made(token.second, written);
  });
  const std::string first = fmt::format("{} ({})", in_quotes(unmade[0].second), unmade[0].first);
  if (like_made > kMostLikeMade) {
    fail_file(written.merges_name,
              fmt::format("no merge makes {} tokens of the vocabulary, {} the first: the file is "
                          "truncated, or belongs to another vocabulary",
                          unmade.size(), first),
              kTablesFix);
  }
  tables.notes.push_back(
      fmt::format("{}: no merge makes the token {}{}: taken for special", written.merges_name,
                  first, unmade.size() == 1 ? "" : fmt::format(" and {} more", unmade.size() - 1)));
}

}  // namespace

int checked_id(uint64_t id, const std::string& token, const std::string& file) {
  constexpr uint64_t kLargestId = (1u << 24) - 1;  // 300 times GPT-2's vocabulary
  if (id <= kLargestId) return static_cast<int>(id);
  fail_file(file,
            fmt::format("the token {} has the id {}, too large for any", in_quotes(token), id),
            kTablesFix);
}

BpeTables make_tables(WrittenBpe written) {
  add_special(written);
  if (written.vocab.empty()) fail_file(written.vocab_name, "has no tokens", kTablesFix);
  BpeTables tables;
  tables.notes = written.notes;
  tables.tokens.resize(n_ids(written));
  put_vocabulary(written, tables.tokens);
  put_added(written, tables.tokens);
  note_gaps(tables.tokens, written.vocab_name, tables.notes);
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = written.vocab.find(spelling_of_byte(byte));
    tables.byte_ids[static_cast<size_t>(byte)] =
        found == written.vocab.end() ? BpeTables::kNoToken : found->second;
  }
  read_merges(written, tables);
  if (!written.options.ignore_merges) check_merges(written, tables);
  for (auto& [content, token] : written.added) tables.added.push_back(std::move(token));
  tables.options = std::move(written.options);
  return tables;
}

}  // namespace tplab
