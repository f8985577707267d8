// GPT-2's pre-tokenizer: cuts text into words, which byte-pair merges never cross.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

namespace tplab {

// The rule is GPT-2's regular expression, run by PCRE2, whose tables say what a letter is:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Every byte of a text lies in exactly one word. Safe to use from many threads at once.
class Pretokenizer {
 public:
  Pretokenizer();

  // Calls take(word) for each word of `text`, in order, in time linear in its length.
  // REQUIRES: text is well-formed UTF-8.
  void for_each_word(std::string_view text,
                     const std::function<void(std::string_view word)>& take) const;

 private:
  std::shared_ptr<const void> pattern_;  // pcre2_code, kept out of this header
};

}  // namespace tplab
