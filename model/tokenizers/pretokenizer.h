// Pre-tokenizers: cut text into words, which byte-pair merges never cross.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizers/regex.h"

namespace tplab {

// A way to cut: what the expression matches is a word, and so is what lies between two matches.
struct WordRule {
  std::string_view name;     // "GPT-2's", for people
  std::string_view pattern;  // as tokenizer.json writes it
};

const WordRule& gpt2_words();
// The rule that tokenizer.json writes so; null for one that tplab does not know.
const WordRule* find_word_rule(std::string_view pattern);
// Each digit, or each run of digits, a word of its own.
const WordRule& digit_words(bool individual);

// Every byte of a text lies in exactly one word. Safe to use from many threads at once.
class Pretokenizer {
 public:
  Pretokenizer() : Pretokenizer({&gpt2_words()}) {}
  // Each rule cuts the words of the one before; without any, a text is one word.
  explicit Pretokenizer(const std::vector<const WordRule*>& rules);

  // Calls take(word) for each word of `text`, in order, in time linear in its length.
  // REQUIRES: text is well-formed UTF-8.
  void for_each_word(std::string_view text,
                     const std::function<void(std::string_view word)>& take) const {
    cut(0, text, take);
  }

 private:
  void cut(size_t rule, std::string_view text,
           const std::function<void(std::string_view word)>& take) const;

  std::vector<Regex> rules_;
};

}  // namespace tplab
