// A walk down the tree at each byte: as long as the text, times the longest token at worst.
#include "model/tokenizers/added_tokens.h"

#include <algorithm>

#include "model/tokenizers/regex.h"
#include "sim/text/utf8.h"

namespace tplab {
namespace {

// What Rust's \w is, which the tokenizers library asks.
const Regex& word_character() {
  static const Regex regex(R"([\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200C}\x{200D}\x{24B6}-\x{24E9}])");
  return regex;
}

bool is_word(std::string_view character) {
  return !character.empty() && word_character().find(character, 0).has_value();
}

std::string_view first_character(std::string_view text) {
  return text.empty() ? text : text.substr(0, utf8::character_length(text, 0));
}

std::string_view last_character(std::string_view text) {
  size_t at = text.size();
  while (at > 0 && (static_cast<unsigned char>(text[--at]) & 0xC0) == 0x80) {
  }
  return text.substr(at);
}

uint64_t key(size_t node, char byte) {
  return static_cast<uint64_t>(node) << 8 | static_cast<unsigned char>(byte);
}

bool is_space(std::string_view character) {
  return !character.empty() && utf8::is_white_space(utf8::code_point(character));
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  for (const AddedToken& token : tokens_) (token.normalized ? second_ : first_).add(token);
}

void AddedTokens::Tree::add(const AddedToken& token) {
  size_t node = 0;
  for (const char c : token.content) {
    const auto [place, is_new] = next.emplace(key(node, c), ends.size());
    if (is_new) ends.push_back(nullptr);
    node = place->second;
  }
  ends[node] = &token;
}

const AddedToken* AddedTokens::Tree::longest_at(std::string_view text, size_t at) const {
  const AddedToken* longest = nullptr;
  size_t node = 0;
  for (; at < text.size(); ++at) {
    const auto found = next.find(key(node, text[at]));
    if (found == next.end()) break;
    node = found->second;
    if (ends[node]) longest = ends[node];
  }
  return longest;
}

void AddedTokens::split(const Tree& tree, std::string_view text,
                        const std::function<void(std::string_view)>& take_text,
                        const std::function<void(int id)>& take_token) {
  size_t taken = 0;  // before it, all is given away
  for (size_t at = 0; at < text.size();) {
    const AddedToken* token = tree.longest_at(text, at);
    if (!token) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + token->content.size();
    at = end;
    if (token->single_word && (is_word(last_character(text.substr(0, begin))) ||
                               is_word(first_character(text.substr(end)))))
      continue;
    const auto space_before = [&] {
      return begin > taken ? last_character(text.substr(taken, begin - taken)) : "";
    };
    while (token->lstrip && is_space(space_before())) begin -= space_before().size();
    const auto space_after = [&] { return first_character(text.substr(end)); };
    while (token->rstrip && is_space(space_after())) end += space_after().size();
    if (begin > taken) take_text(text.substr(taken, begin - taken));
    take_token(token->id);
    taken = std::max(taken, end);  // though white space may yet be a token of its own
  }
  if (taken < text.size()) take_text(text.substr(taken));
}

void AddedTokens::for_each(std::string_view text,
                           const std::function<void(std::string_view)>& take_text,
                           const std::function<void(int id)>& take_token) const {
  const auto second = [&](std::string_view rest) {
    if (second_.next.empty()) return take_text(rest);
    split(second_, rest, take_text, take_token);
  };
  if (first_.next.empty()) return text.empty() ? void() : second(text);
  split(first_, text, second, take_token);
}

}  // namespace tplab
