// What every tokenizer is: a list of byte strings by id, and a way to cut text into them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/tokenizers/added_tokens.h"

namespace tplab {

// What "<|endoftext|>" and other added tokens mean where a text has them written out: the token
// itself, as nanoGPT's sample.py and Hugging Face take it, or the 13 characters.
enum class SpecialTokens { as_text, allow };

// Immutable once made, so one tokenizer serves many threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;  // implementations keep views into tokens()
  Tokenizer& operator=(const Tokenizer&) = delete;

  // The ids of `text`, such that decode(encode(text)) == text, but for white space where a
  // tokenizer's files say that a token takes what is beside it, or that a text begins with a space.
  // Throws Error(usage) for text that is not UTF-8, with the offset of the first bad byte, and for
  // a character that is not in the vocabulary.
  std::vector<int> encode(std::string_view text,
                          SpecialTokens special = SpecialTokens::allow) const;

  // The tokens' bytes, one after the other. They need not be UTF-8 when the ids are a part of a
  // text: a byte-level token may end inside a character.
  // Throws Error(usage) for an id that is not in the vocabulary.
  std::string decode(std::span<const int> ids) const;

  // As decode(), but U+FFFD for an id that it does not know: a model's vocabulary may be padded.
  std::string show(std::span<const int> ids) const;

  int vocab_size() const { return static_cast<int>(tokens_.size()); }

  // Whether decode() takes the id: a vocabulary may have gaps.
  bool knows(int id) const {
    return id >= 0 && id < vocab_size() && !tokens_[static_cast<size_t>(id)].empty();
  }

  // The tokens that a text ends with and begins with, where there are such: GPT-2 has one for both,
  // "<|endoftext|>".
  virtual std::optional<int> end_of_text() const { return std::nullopt; }
  virtual std::optional<int> start_of_text() const { return end_of_text(); }

  // What a text may have written out.
  virtual std::span<const AddedToken> added_tokens() const { return {}; }

  // What was read otherwise than its files may make one think, a line each, for people.
  virtual const std::vector<std::string>& notes() const;

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
