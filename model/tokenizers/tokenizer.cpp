// The checks that all tokenizers share: UTF-8 on the way in, the range of ids on the way out.
#include "model/tokenizers/tokenizer.h"

#include <fmt/format.h>

#include "model/files/not_text.h"
#include "sim/error.h"
#include "sim/text/utf8.h"

namespace tplab {

std::vector<int> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  if (const auto found = not_text(text)) fail("the text " + found->what, found->fix);
  return encode_utf8(text, special);
}

std::string Tokenizer::decode(std::span<const int> ids) const {
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (!knows(ids[i])) {
      fail(fmt::format("token id {} (number {} of {}) is not in the vocabulary", ids[i], i + 1,
                       ids.size()),
           fmt::format("use ids from 0 to {}: {}", vocab_size() - 1, description()));
    }
    text += tokens_[static_cast<size_t>(ids[i])];
  }
  return text;
}

std::string Tokenizer::show(std::span<const int> ids) const {
  std::string text;
  for (const int id : ids) text += knows(id) ? tokens_[static_cast<size_t>(id)] : "\uFFFD";
  return text;
}

const std::vector<std::string>& Tokenizer::notes() const {
  static const std::vector<std::string> none;
  return none;
}

}  // namespace tplab
