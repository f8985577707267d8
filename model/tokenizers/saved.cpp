// The JSON comes from a file, so nothing in it is believed.
#include "model/tokenizers/saved.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "model/files/json.h"
#include "model/files/moved_file.h"
#include "model/tokenizers/bpe.h"
#include "model/tokenizers/characters.h"
#include "sim/error.h"
#include "sim/text/utf8.h"

namespace tplab {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

std::unique_ptr<Tokenizer> load_gpt2(const std::string& path, const std::string& where) {
  try {
    return std::make_unique<BpeTokenizer>(BpeTokenizer::load(path));
  } catch (const Error& error) {
    fail_file(where, "the model's GPT-2 tokenizer cannot be loaded: " + error.problem(),
              "say where it is now, with --tokenizer PATH");
  }
}

}  // namespace

std::string to_saved(const Tokenizer* tokenizer, const std::string& folder) {
  if (!tokenizer) return "null";
  if (const auto* characters = dynamic_cast<const CharacterTokenizer*>(tokenizer))
    return json_text(json{{"kind", "characters"}, {"characters", characters->characters()}});
  if (const auto* bpe = dynamic_cast<const BpeTokenizer*>(tokenizer)) {
    std::error_code error;
    const fs::path path = fs::absolute(bpe->path(), error);
    return json_text(json{{"kind", "gpt2"},
                          {"path", to_json_string(path.string())},
                          {"way", to_json_string(way_from(folder, path.string()))}});
  }
  fail("a tokenizer of a kind that checkpoints do not know: " + tokenizer->description(),
       "this is a bug in tplab: please report it");
}

std::unique_ptr<Tokenizer> from_saved(std::string_view text, const std::string& where) {
  if (text == "null") return nullptr;
  const std::string what = where + ": its tokenizer";
  const json saved = parse_json_object(text, what);
  const json kind = saved.value("kind", json());
  const json path = saved.value("path", json());
  const json way = saved.value("way", json(""));
  if (kind == "gpt2" && path.is_string() && way.is_string()) {
    const std::string folder = fs::path(where).parent_path().string();
    return load_gpt2(find_again(folder, from_json_string(way.get<std::string>()),
                                from_json_string(path.get<std::string>())),
                     where);
  }
  const json list = saved.value("characters", json());
  bool is_good = kind == "characters" && list.is_array();
  std::vector<std::string> characters;
  for (const json& character : is_good ? list : json::array()) {
    is_good = is_good && character.is_string();
    if (is_good) characters.push_back(character.get<std::string>());
  }
  if (!is_good) {
    fail_file(what, "is neither a list of characters nor GPT-2's",
              "the file is corrupt: copy it again, or name a tokenizer with --tokenizer PATH");
  }
  return std::make_unique<CharacterTokenizer>(std::move(characters), where);
}

std::string to_character_vocab(const std::vector<std::string>& characters) {
  nlohmann::ordered_json vocab;
  for (size_t id = 0; id < characters.size(); ++id) vocab[characters[id]] = id;
  return json_text(vocab, 1) + "\n";
}

std::optional<std::vector<std::string>> from_character_vocab(std::string_view text,
                                                             const std::string& path) {
  const json vocab = parse_json_object(text, path);
  for (const auto& [key, id] : vocab.items()) {
    if (key.empty() || utf8::character_length(key, 0) != key.size()) return std::nullopt;
  }
  std::vector<std::string> characters(vocab.size());
  for (const auto& [key, id] : vocab.items()) {
    const bool is_good = id.is_number_unsigned() && id.get<uint64_t>() < characters.size() &&
                         characters[id.get<size_t>()].empty();
    if (!is_good) {
      fail_file(path, fmt::format("the ids of its characters are not 0 to {}", vocab.size() - 1),
                "export the model again, or name a tokenizer with --tokenizer PATH");
    }
    characters[id.get<size_t>()] = key;
  }
  return characters;
}

}  // namespace tplab
