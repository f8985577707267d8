// Added tokens: strings of a text that are one token each, found before the rest is cut into words.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tplab {

// One entry of tokenizer.json's "added_tokens", tokenizer_config.json's or added_tokens.json.
struct AddedToken {
  std::string content;  // as it stands in a text
  int id = 0;
  bool special = false;                 // <|endoftext|>: no part of what people write
  bool normalized = false;              // looked for after all others
  bool single_word = false;             // only where no letter, digit or _ is beside it
  bool lstrip = false, rstrip = false;  // takes the white space before it, after it
  std::string file = {};                // that says so
};

// Finds added tokens in texts: the leftmost first, and of those that begin there the longest.
// Immutable; safe to use from many threads at once.   source: tokenizers' AddedVocabulary
class AddedTokens {
 public:
  AddedTokens() = default;
  // REQUIRES: contents are not empty, and different.
  explicit AddedTokens(std::vector<AddedToken> tokens);
  AddedTokens(AddedTokens&&) = default;  // the trees point into the list, which stays where it is
  AddedTokens& operator=(AddedTokens&&) = default;

  const std::vector<AddedToken>& list() const { return tokens_; }

  // In the text's order: take_text for each stretch between added tokens, where it is not empty;
  // take_token for each of them.
  void for_each(std::string_view text, const std::function<void(std::string_view)>& take_text,
                const std::function<void(int id)>& take_token) const;

 private:
  // The tokens of one pass as a tree of their bytes.
  struct Tree {
    std::vector<const AddedToken*> ends{nullptr};  // by node: the token that ends there
    std::unordered_map<uint64_t, size_t> next;     // by node << 8 | byte: the node after it

    void add(const AddedToken& token);
    const AddedToken* longest_at(std::string_view text, size_t at) const;  // null: none
  };
  static void split(const Tree& tree, std::string_view text,
                    const std::function<void(std::string_view)>& take_text,
                    const std::function<void(int id)>& take_token);

  std::vector<AddedToken> tokens_;
  Tree first_, second_;  // without `normalized`, and with it
};

}  // namespace tplab
