// A character's id is its place in the list.
#include "model/tokenizers/characters.h"

#include <fmt/format.h>

#include "sim/error.h"
#include "sim/text/utf8.h"

namespace tplab {

CharacterTokenizer::CharacterTokenizer(std::vector<std::string> characters, std::string origin)
    : Tokenizer(std::move(characters)), origin_(std::move(origin)) {
  const std::string fix = "give the meta.pkl that was written with the model's data";
  if (tokens().empty()) fail_file(origin_, "the vocabulary has no characters", fix);

  for (const std::string& character : tokens()) {
    const int id = static_cast<int>(ids_.size());
    if (character.empty() || utf8::character_length(character, 0) != character.size()) {
      fail_file(origin_, fmt::format("entry {} of the vocabulary is not one UTF-8 character", id),
                fix);
    }
    if (!ids_.emplace(character, id).second) {
      fail_file(origin_,
                fmt::format("{} is in the vocabulary twice, as {} and {}", utf8::quoted(character),
                            ids_[character], id),
                fix);
    }
  }
}

std::string CharacterTokenizer::description() const {
  return fmt::format("{} characters ({})", vocab_size(), printable_line(origin_));
}

std::vector<int> CharacterTokenizer::encode_utf8(std::string_view text, SpecialTokens) const {
  std::vector<int> ids;
  ids.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const std::string_view character = text.substr(at, utf8::character_length(text, at));
    const auto found = ids_.find(character);
    if (found == ids_.end()) {
      fail(fmt::format("{}, character {} of the text (byte {}), is not in the vocabulary",
                       utf8::quoted(character), ids.size() + 1, at),
           "use only the characters the model knows: " + allowed());
    }
    ids.push_back(found->second);
    at += character.size();
  }
  return ids;
}

std::string CharacterTokenizer::allowed() const {
  constexpr size_t kShown = 80;
  std::string list;
  size_t shown = 0;
  for (const std::string& character : tokens()) {
    if (shown == kShown) break;
    const bool is_control = utf8::code_point(character) < 0x20 || character == "\x7f";
    list += is_control ? utf8::quoted(character) + " " : character;
    ++shown;
  }
  if (shown < tokens().size()) list += "...";
  return fmt::format("{} ({} characters)", list, vocab_size());
}

}  // namespace tplab
