#include "model/tokenizers/nanogpt_meta.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "model/files/pickle.h"
#include "sim/error.h"
#include "sim/text/utf8.h"

namespace tplab {
namespace {

using pickle::Document;

constexpr const char* kPrepare =
    "make it with nanoGPT's data/shakespeare_char/prepare.py: a pickled dict with 'vocab_size', "
    "'itos' (id to character) and 'stoi' (character to id)";

bool is_one_character(std::string_view text) {
  return !text.empty() && utf8::character_length(text, 0) == text.size();
}

// A token's id and its text, where they are a number and a text.
struct Entry {
  std::optional<int64_t> id;
  std::optional<std::string_view> text;
};

// itos: {0: "a", ...} or ["a", ...]; stoi: {"a": 0, ...}. Empty where it is neither.
std::vector<Entry> entries_of(const Document& document, const pickle::Value* map) {
  const auto id_of = [&](pickle::Ref ref) {
    const auto* id = document.get<int64_t>(ref);
    return id ? std::optional(*id) : std::nullopt;
  };
  const auto text_of = [&](pickle::Ref ref) {
    const auto* text = document.get<std::string_view>(ref);
    return text ? std::optional(*text) : std::nullopt;
  };
  std::vector<Entry> entries;
  if (const auto* dict = map ? std::get_if<pickle::Dict>(map) : nullptr) {
    for (const auto& [key, value] : dict->items) {
      const bool is_itos = id_of(key).has_value();
      entries.push_back({id_of(is_itos ? key : value), text_of(is_itos ? value : key)});
    }
  } else if (const auto* list = map ? std::get_if<pickle::List>(map) : nullptr) {
    for (const pickle::Ref item : list->items)
      entries.push_back({static_cast<int64_t>(entries.size()), text_of(item)});
  }
  return entries;
}

// Words, bytes or objects: tokens that are no characters, though nothing is wrong with them.
bool are_of_another_kind(const std::vector<Entry>& entries) {
  const auto is_other = [](const Entry& entry) {
    return !entry.text || (utf8::first_invalid(*entry.text) == std::string_view::npos &&
                           !entry.text->empty() && !is_one_character(*entry.text));
  };
  return std::any_of(entries.begin(), entries.end(), is_other);
}

// Every id from 0 up has one character.
std::vector<std::string> characters_of(const std::vector<Entry>& entries, const char* map,
                                       const std::string& path) {
  std::vector<std::string> by_id(entries.size());
  std::set<std::string_view> different;
  for (const auto& [id, text] : entries) {
    if (!id || *id < 0 || static_cast<size_t>(*id) >= by_id.size() || !text ||
        !is_one_character(*text) || !different.insert(*text).second ||
        !by_id[static_cast<size_t>(*id)].empty()) {
      fail_file(path,
                fmt::format("{} does not map the ids 0, 1, 2, ... to different characters", map),
                kPrepare);
    }
    by_id[static_cast<size_t>(*id)] = std::string(*text);
  }
  return by_id;
}

}  // namespace

NanogptMeta read_nanogpt_meta(const std::string& path) {
  return read_nanogpt_meta(*open_file(path));
}

NanogptMeta read_nanogpt_meta(const ByteSource& file) {
  const std::string& path = file.name();
  constexpr int64_t kMostBytes = int64_t{16} << 20;
  constexpr int64_t kMostTokens = int64_t{1} << 24;
  const Document document(read_all(file, kMostBytes), path);
  const auto* root = std::get_if<pickle::Dict>(&document.root());
  if (!root) fail_file(path, "is a pickle, but not of a dict", kPrepare);
  const auto value_at = [&](const char* key) { return document.find(*root, key); };

  NanogptMeta meta;
  const pickle::Value* const size = value_at("vocab_size");
  const auto* const number = size ? std::get_if<int64_t>(size) : nullptr;
  if (number) meta.vocab_size = *number;
  if ((size && !number) || meta.vocab_size < 0 || meta.vocab_size > kMostTokens)
    fail_file(path, "its vocab_size is no number of tokens", kPrepare);

  const std::vector<Entry> itos = entries_of(document, value_at("itos"));
  const std::vector<Entry> stoi = entries_of(document, value_at("stoi"));
  const std::vector<Entry>& entries = itos.empty() ? stoi : itos;
  if (entries.empty() || are_of_another_kind(entries)) {
    if (meta.vocab_size == 0) fail_file(path, "has neither a vocab_size nor characters", kPrepare);
    meta.note = fmt::format("{}: its tokens are {}; their ids are shown", path,
                            entries.empty() ? "not listed" : "no characters");
    return meta;
  }
  meta.characters = characters_of(entries, itos.empty() ? "stoi" : "itos", path);
  const auto n = static_cast<int64_t>(meta.characters.size());
  const bool agree =
      (itos.empty() || stoi.empty() || characters_of(stoi, "stoi", path) == meta.characters) &&
      (!number || *number >= n);
  if (!agree) fail_file(path, "itos, stoi and vocab_size do not agree", kPrepare);
  meta.vocab_size = std::max(meta.vocab_size, n);
  return meta;
}

}  // namespace tplab
