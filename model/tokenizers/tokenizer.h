// What every tokenizer is: a list of byte strings by id, and a way to cut text into them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tplab {

// What the characters "<|endoftext|>" in a text mean: a user's text should not be able to end the
// document, so the token has to be asked for.
enum class SpecialTokens { as_text, allow };

// Immutable once made, so one tokenizer serves many threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;  // implementations keep views into tokens()
  Tokenizer& operator=(const Tokenizer&) = delete;

  // The ids of `text`, such that decode(encode(text)) == text.
  // Throws Error(usage) for text that is not UTF-8, with the offset of the first bad byte, and for
  // a character that is not in the vocabulary.
  std::vector<int> encode(std::string_view text,
                          SpecialTokens special = SpecialTokens::as_text) const;

  // The tokens' bytes, one after the other. They need not be UTF-8 when the ids are a part of a
  // text: a byte-level token may end inside a character.
  // Throws Error(usage) for an id outside [0, vocab_size()).
  std::string decode(std::span<const int> ids) const;

  int vocab_size() const { return static_cast<int>(tokens_.size()); }

  // The id of "<|endoftext|>", which is what a text begins and ends with, where there is one.
  virtual std::optional<int> end_of_text() const { return std::nullopt; }

  // For people: "GPT-2 byte-level BPE, 50257 tokens (gpt2/vocab.json)".
  virtual std::string description() const = 0;

 protected:
  explicit Tokenizer(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {}
  Tokenizer(Tokenizer&&) = default;
  const std::vector<std::string>& tokens() const { return tokens_; }

 private:
  // REQUIRES: text is well-formed UTF-8.
  virtual std::vector<int> encode_utf8(std::string_view text, SpecialTokens special) const = 0;

  std::vector<std::string> tokens_;  // by id
};

}  // namespace tplab
