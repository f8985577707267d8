// The checks that all tokenizers share: UTF-8 on the way in, the range of ids on the way out.
#include "model/tokenizers/tokenizer.h"

#include <fmt/format.h>

#include "sim/error.h"
#include "sim/utf8.h"

namespace tplab {

std::vector<int> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  const size_t bad = utf8::first_invalid(text);
  if (bad != std::string_view::npos) {
    fail(fmt::format("the text is not UTF-8: byte {} (0x{:02X}) begins no character", bad,
                     static_cast<unsigned char>(text[bad])),
         "convert it first, for example: iconv -f LATIN1 -t UTF-8 FILE");
  }
  return encode_utf8(text, special);
}

std::string Tokenizer::decode(std::span<const int> ids) const {
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab_size()) {
      fail(fmt::format("token id {} (number {} of {}) is not in the vocabulary", ids[i], i + 1,
                       ids.size()),
           fmt::format("use ids from 0 to {}: {}", vocab_size() - 1, description()));
    }
    text += tokens_[static_cast<size_t>(ids[i])];
  }
  return text;
}

}  // namespace tplab
