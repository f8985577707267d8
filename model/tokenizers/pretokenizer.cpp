// Expressions come from this table, never from a file: a file's could take for ever.
#include "model/tokenizers/pretokenizer.h"

#include <cassert>

namespace tplab {

namespace {

// Llama 3's and those after it differ in how many digits are a word.
#define TPLAB_WORDS_WITH_DIGITS(digits)                              \
  R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" digits \
  R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"

constexpr WordRule kRules[] = {
    {"GPT-2's", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
    {"Llama 3's", TPLAB_WORDS_WITH_DIGITS(R"(\p{N}{1,3})")},
    {"Qwen 2's", TPLAB_WORDS_WITH_DIGITS(R"(\p{N})")},
};
constexpr WordRule kDigit = {"digit by digit", R"(\p{N})"};
constexpr WordRule kDigits = {"digits apart", R"(\p{N}+)"};

// As PCRE2 takes it. \s is spelled out, as Unicode's White_Space, which is what Python's `regex`
// and Oniguruma mean by it: PCRE2's own has one character more, U+180E.
std::string for_pcre2(std::string_view pattern) {
  constexpr std::string_view kSpaces = R"(\t-\r\x{85}\p{Z})";
  std::string result;
  bool is_in_class = false;
  for (size_t at = 0; at < pattern.size(); ++at) {
    const char c = pattern[at], next = at + 1 < pattern.size() ? pattern[at + 1] : '\0';
    if (c == '[' || c == ']') is_in_class = c == '[';
    if (c != '\\' || (next != 's' && next != 'S')) {
      result += c;
      continue;
    }
    ++at;
    result += is_in_class ? std::string(kSpaces)
                          : (next == 's' ? "[" : "[^") + std::string(kSpaces) + "]";
  }
  return result;
}

}  // namespace

const WordRule& gpt2_words() { return kRules[0]; }

const WordRule* find_word_rule(std::string_view pattern) {
  for (const WordRule& rule : kRules)
    if (rule.pattern == pattern) return &rule;
  return nullptr;
}

const WordRule& digit_words(bool individual) { return individual ? kDigit : kDigits; }

Pretokenizer::Pretokenizer(const std::vector<const WordRule*>& rules) {
  for (const WordRule* rule : rules) rules_.emplace_back(for_pcre2(rule->pattern));
}

void Pretokenizer::cut(size_t rule, std::string_view text,
                       const std::function<void(std::string_view word)>& take) const {
  if (text.empty()) return;
  if (rule == rules_.size()) return take(text);
  for (size_t at = 0; at < text.size();) {
    const auto [begin, end] =
        rules_[rule].find(text, at).value_or(std::pair{text.size(), text.size()});
    assert(end > at);
    cut(rule + 1, text.substr(at, begin - at), take);
    cut(rule + 1, text.substr(begin, end - begin), take);
    at = end;
  }
}

}  // namespace tplab
