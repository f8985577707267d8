// Any bytes as tokenizer files or as a text: an Error or a round trip, never anything else.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../model/tokenizer_vocabulary.h"
#include "model/tokenizers/characters.h"
#include "model/tokenizers/tokenizer_config.h"
#include "model/tokenizers/tokenizer_json.h"

namespace {

using tplab::BpeTokenizer;
using tplab::CharacterTokenizer;
using tplab::SpecialTokens;
using tplab::Tokenizer;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

void round_trip(const Tokenizer& tokenizer, std::string_view text) {
  for (const SpecialTokens special : {SpecialTokens::as_text, SpecialTokens::allow}) {
    try {
      require(tokenizer.decode(tokenizer.encode(text, special)) == text);
    } catch (const tplab::Error& error) {
      require(error.kind() == tplab::ErrorKind::usage);
    }
  }
}

// A tokenizer's files may say that white space is dropped or added, so the text need not come back.
void encode(const Tokenizer& tokenizer, std::string_view text) {
  for (const SpecialTokens special : {SpecialTokens::as_text, SpecialTokens::allow}) {
    try {
      (void)tokenizer.decode(tokenizer.encode(text, special));
    } catch (const tplab::Error& error) {
      require(error.kind() == tplab::ErrorKind::usage);
    }
  }
}

// The part of `rest` before the first 0xFF, a byte that is in no UTF-8 text; cut off of it.
std::string_view take_part(std::string_view& rest) {
  const size_t end = rest.find('\xff');
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return part;
}

BpeTokenizer made_in_test() {
  return tplab::testing::bpe(tplab::testing::bpe_files(
      {{"\u0120", "t"}, {"th", "e"}, {"t", "h"}, {"a", "a"}, {"aa", "aa"}, {"\u0120", "\u0120"}}));
}

}  // namespace

// The first byte chooses; the rest is
//   'v': a whole vocab.json, merges.txt and text, with 0xFF between them
//   'm': a merges.txt for the small vocabulary, and text
//   'j': a whole tokenizer.json and text
//   'a': an added_tokens.json and a tokenizer_config.json for the small vocabulary, and text
//   'c': the characters of a character tokenizer, as one string, and text
//   else: a text for the small vocabulary
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const BpeTokenizer small = made_in_test();
  static const std::string small_vocab =
      tplab::testing::bpe_files({{"\u0120", "t"}, {"t", "h"}, {"th", "e"}}).vocab;
  if (size == 0) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    if (data[0] == 'v' || data[0] == 'm') {
      const std::string_view vocab = data[0] == 'v' ? take_part(rest) : small_vocab;
      const std::string_view merges = take_part(rest);
      round_trip(BpeTokenizer(tplab::parse_bpe(vocab, "vocab", merges, "merges"), "fuzz"), rest);
    } else if (data[0] == 'j') {
      const std::string_view file = take_part(rest);
      encode(BpeTokenizer(make_tables(tplab::read_tokenizer_json(file, "tokenizer.json")), "fuzz"),
             rest);
    } else if (data[0] == 'a') {
      tplab::WrittenBpe written = tplab::read_bpe(small_vocab, "vocab", "", "merges");
      tplab::read_added_tokens(take_part(rest), "added_tokens.json", written);
      tplab::read_tokenizer_config(take_part(rest), "tokenizer_config.json", written);
      encode(BpeTokenizer(make_tables(std::move(written)), "fuzz"), rest);
    } else if (data[0] == 'c') {
      std::vector<std::string> characters;
      for (const char byte : take_part(rest)) characters.push_back({byte});
      round_trip(CharacterTokenizer(std::move(characters), "fuzz"), rest);
    } else {
      round_trip(small, rest);
    }
  } catch (const tplab::Error& error) {
    require(error.kind() == tplab::ErrorKind::bad_file ||
            (data[0] == 'j' && error.kind() == tplab::ErrorKind::unavailable));
  }
  return 0;
}
