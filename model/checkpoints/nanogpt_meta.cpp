// nanoGPT's meta.pkl: the characters of a data set.
#include <fmt/format.h>

#include <optional>
#include <set>

#include "model/checkpoints/nanogpt.h"
#include "model/checkpoints/pickle.h"
#include "sim/error.h"
#include "sim/utf8.h"

namespace tplab {
namespace {

using pickle::Document;

constexpr const char* kPrepare =
    "make it with nanoGPT's data/shakespeare_char/prepare.py: a pickled dict with 'vocab_size', "
    "'itos' (id to character) and 'stoi' (character to id)";

bool is_one_character(std::string_view text) {
  return !text.empty() && utf8::character_length(text, 0) == text.size();
}

const pickle::Dict& dict_at(const Document& document, std::string_view key,
                            const std::string& path) {
  const auto* root = std::get_if<pickle::Dict>(&document.root());
  const pickle::Value* value = root ? document.find(*root, key) : nullptr;
  const auto* dict = value ? std::get_if<pickle::Dict>(value) : nullptr;
  if (!dict) fail_file(path, fmt::format("has no dict named '{}'", key), kPrepare);
  return *dict;
}

}  // namespace

CharacterSet read_nanogpt_meta(const std::string& path) {
  return read_nanogpt_meta(*open_file(path));
}

CharacterSet read_nanogpt_meta(const ByteSource& file) {
  const std::string& path = file.name();
  constexpr int64_t kMostBytes = int64_t{16} << 20;
  const Document document(read_all(file, kMostBytes), path);
  const pickle::Dict& itos = dict_at(document, "itos", path);
  const pickle::Dict& stoi = dict_at(document, "stoi", path);

  // Every id from 0 up has one character.
  const size_t vocab_size = itos.items.size();
  std::vector<std::optional<std::string>> by_id(vocab_size);
  std::set<std::string_view> different;
  for (const auto& [key, value] : itos.items) {
    const auto* id = document.get<int64_t>(key);
    const auto* character = document.get<std::string_view>(value);
    if (!id || *id < 0 || static_cast<size_t>(*id) >= vocab_size || !character ||
        !is_one_character(*character) || !different.insert(*character).second ||
        by_id[static_cast<size_t>(*id)]) {
      fail_file(path, "itos does not map the ids 0, 1, 2, ... to different characters", kPrepare);
    }
    by_id[static_cast<size_t>(*id)] = std::string(*character);
  }

  // stoi is its inverse, and vocab_size, where given, its size.
  bool agree = stoi.items.size() == vocab_size;
  for (const auto& [key, value] : stoi.items) {
    const auto* character = document.get<std::string_view>(key);
    const auto* id = document.get<int64_t>(value);
    agree = agree && character && id && *id >= 0 && static_cast<size_t>(*id) < vocab_size &&
            by_id[static_cast<size_t>(*id)] == *character;
  }
  const pickle::Value* size = document.find(std::get<pickle::Dict>(document.root()), "vocab_size");
  const auto* number = size ? std::get_if<int64_t>(size) : nullptr;
  agree = agree && (!size || (number && *number == static_cast<int64_t>(vocab_size)));
  if (!agree || vocab_size == 0) {
    fail_file(path, "itos, stoi and vocab_size do not agree", kPrepare);
  }

  CharacterSet set;
  for (std::optional<std::string>& character : by_id) {
    set.characters.push_back(std::move(*character));
  }
  return set;
}

}  // namespace tplab
