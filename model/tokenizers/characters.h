// One token a character: nanoGPT's character-level models, whose meta.pkl lists the characters.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/tokenizers/tokenizer.h"

namespace tplab {

class CharacterTokenizer final : public Tokenizer {
 public:
  // characters[id] is one character in UTF-8; `origin` is the file they come from.
  // Throws Error(bad_file) that names origin when the list is empty, or when an entry is not
  // exactly one character or appears twice.
  CharacterTokenizer(std::vector<std::string> characters, std::string origin);

  std::string description() const override;
  const std::vector<std::string>& characters() const { return tokens(); }  // by id

 private:
  std::vector<int> encode_utf8(std::string_view text, SpecialTokens special) const override;
  // The vocabulary for a message, cut short: " !$&',-.3:;?ABCDEFGHIJ... (65 characters)".
  std::string allowed() const;

  std::string origin_;
  std::unordered_map<std::string_view, int> ids_;  // views into tokens(), which never changes
};

}  // namespace tplab
