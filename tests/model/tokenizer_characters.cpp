// nanoGPT's character tokenizer: one id a character, and a clear word about any other character.
#include <catch2/catch.hpp>

#include "model/tokenizers/characters.h"
#include "sim/error.h"

namespace tplab {
namespace {

using Catch::Contains;
using Ids = std::vector<int>;

CharacterTokenizer small_characters() {
  return {{"\n", " ", "a", "b", "\u00e9", "\U0001F600"}, "meta.pkl"};
}

// The problem and the fix of encoding `text`; "no error" where it encodes.
std::string refused_text(const Tokenizer& tokenizer, const std::string& text) {
  try {
    (void)tokenizer.encode(text);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::usage) return "not a usage error";
    return error.what();
  }
  return "no error";
}

std::string refusal_of(std::vector<std::string> characters) {
  try {
    const CharacterTokenizer tokenizer(std::move(characters), "meta.pkl");
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::bad_file) return "not a bad_file";
    return error.what();
  }
  return "no error";
}

TEST_CASE("characters: each is its place in the list", "[tokenizer]") {
  const CharacterTokenizer tokenizer = small_characters();
  CHECK(tokenizer.vocab_size() == 6);
  CHECK(tokenizer.encode("a\u00e9 b\n\U0001F600") == Ids{2, 4, 1, 3, 0, 5});
  CHECK(tokenizer.decode(Ids{2, 4, 1, 3, 0, 5}) == "a\u00e9 b\n\U0001F600");
  CHECK(tokenizer.encode("").empty());
  CHECK(tokenizer.end_of_text() == std::nullopt);
  CHECK(tokenizer.description() == "6 characters (meta.pkl)");
}

TEST_CASE("characters: one outside the vocabulary is named, with its place and what is allowed",
          "[tokenizer]") {
  const CharacterTokenizer tokenizer = small_characters();
  CHECK(refused_text(tokenizer, "\u00e9ab?") ==
        "'?', character 4 of the text (byte 4), is not in the vocabulary\n"
        "  fix: use only the characters the model knows: '\\n'  ab\u00e9\U0001F600 (6 characters)");
  CHECK_THAT(refused_text(tokenizer, "ab\u00fc"), Contains("'\u00fc' (U+00FC), character 3"));
  CHECK_THAT(refused_text(tokenizer, "a\tb"), Contains("'\\t', character 2"));
  CHECK_THAT(refused_text(tokenizer, "a\x1b"), Contains("U+001B, character 2"));
  CHECK_THAT(refused_text(tokenizer, "ab\xff"), Contains("not UTF-8: byte 2"));
  CHECK_THROWS_WITH(tokenizer.decode(Ids{6}), Contains("0 to 5"));
}

TEST_CASE("characters: a long vocabulary is cut short in messages", "[tokenizer]") {
  std::vector<std::string> characters;
  for (int c = 0; c < 2000; ++c) {  // U+4E00 and on
    const int code = 0x4E00 + c;
    characters.push_back({static_cast<char>(0xE0 | code >> 12),
                          static_cast<char>(0x80 | (code >> 6 & 0x3F)),
                          static_cast<char>(0x80 | (code & 0x3F))});
  }
  const CharacterTokenizer tokenizer(characters, "meta.pkl");
  CHECK(refused_text(tokenizer, "x").size() < 500);
  CHECK_THAT(refused_text(tokenizer, "x"), Contains("... (2000 characters)"));
}

TEST_CASE("characters: a vocabulary that is not a list of distinct characters is refused",
          "[tokenizer]") {
  CHECK_THAT(refusal_of({}), Contains("meta.pkl: the vocabulary has no characters"));
  CHECK_THAT(refusal_of({"a", ""}), Contains("entry 1 of the vocabulary is not one"));
  CHECK_THAT(refusal_of({"a", "bc"}), Contains("entry 1"));
  CHECK_THAT(refusal_of({"\xff"}), Contains("entry 0"));
  CHECK_THAT(refusal_of({"\xc3"}), Contains("entry 0"));
  CHECK_THAT(refusal_of({"a", "b", "a"}), Contains("'a' is in the vocabulary twice, as 0 and 2"));
}

TEST_CASE("characters: a tokenizer that was moved still encodes", "[tokenizer]") {
  CharacterTokenizer first = small_characters();
  const CharacterTokenizer second = std::move(first);
  CHECK(second.encode("ab") == Ids{2, 3});
}

}  // namespace
}  // namespace tplab
