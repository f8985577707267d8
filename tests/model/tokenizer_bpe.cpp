// GPT-2's byte-level BPE: exact on GPT-2's own vectors, linear on hostile text.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <random>

#include "tokenizer_vocabulary.h"

namespace tplab {
namespace {

using testing::bpe;
using testing::bpe_files;
using Ids = std::vector<int>;
namespace fs = std::filesystem;

const fs::path kData = fs::path(TPLAB_SOURCE_DIR) / ".." / "shared" / "data";

bool is_absent(const fs::path& path) {
  if (fs::exists(path)) return false;
  WARN("skipped: " << path << " is not on this machine");
  return true;
}

std::string file_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Ids all_ids(const Tokenizer& tokenizer) {
  Ids ids(static_cast<size_t>(tokenizer.vocab_size()));
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

// " t", "th" and "the": 256, 257, 258; <|endoftext|> is 259.
BpeTokenizer small() { return bpe(bpe_files({{"\u0120", "t"}, {"t", "h"}, {"th", "e"}})); }

TEST_CASE("BPE: GPT-2's 100 vectors encode and decode exactly", "[tokenizer]") {
  if (is_absent(kData / "gpt2-tokenizer")) return;
  const BpeTokenizer tokenizer = BpeTokenizer::load(kData / "gpt2-tokenizer");
  CHECK(tokenizer.vocab_size() == 50257);
  CHECK(tokenizer.end_of_text() == 50256);

  std::ifstream vectors(kData / "gpt2-tokenizer" / "vectors.txt");
  int lines = 0;
  for (std::string line; std::getline(vectors, line); ++lines) {
    const size_t arrow = line.rfind(" => ");
    REQUIRE(arrow != std::string::npos);
    const std::string text = line.substr(0, arrow);
    std::istringstream list(line.substr(arrow + 4));
    Ids expected;
    for (std::string id; std::getline(list, id, ',');) expected.push_back(std::stoi(id));
    CAPTURE(text);
    CHECK(tokenizer.encode(text) == expected);
    CHECK(tokenizer.decode(expected) == text);
  }
  CHECK(lines == 100);
}

TEST_CASE("BPE: tiny-shakespeare is 338025 tokens, as nanoGPT's prepare.py counts", "[tokenizer]") {
  // 301,966 for training and 36,059 for validation: data/shakespeare/readme.md of nanoGPT. The two
  // halves are cut between words, so their sum is the whole's.
  if (is_absent(kData / "gpt2-tokenizer") || is_absent(kData / "tinyshakespeare")) return;
  const BpeTokenizer tokenizer = BpeTokenizer::load(kData / "gpt2-tokenizer" / "vocab.bpe");
  const std::string text = file_text(kData / "tinyshakespeare" / "input.txt");
  const Ids ids = tokenizer.encode(text);
  CHECK(ids.size() == 338025);
  CHECK(tokenizer.decode(ids) == text);
}

TEST_CASE("BPE: the pair of lowest rank merges first, leftmost first", "[tokenizer]") {
  const BpeTokenizer tokenizer = small();
  CHECK(tokenizer.encode("the") == Ids{258});
  // " t" outranks "th", so " the" is " t", "h", "e".
  CHECK(tokenizer.encode(" the") == Ids{256, 'h', 'e'});
  CHECK(bpe(bpe_files({{"a", "a"}})).encode("aaa") == Ids{256, 'a'});
}

TEST_CASE("BPE: all of a pair's occurrences merge before a pair that they make", "[tokenizer]") {
  // Ranks: 0 "ab"+"c", 1 "b"+"a", 2 "a"+"b". In "ababc", pass by pass: "ba" merges first (rank 1),
  // which leaves a, ba, b, c and no pair; a left-to-right merger would find "ab" and "abc".
  testing::BpeFiles files = bpe_files({{"ab", "c"}, {"b", "a"}, {"a", "b"}});
  CHECK(bpe(files).encode("ababc") == Ids{'a', 257, 'b', 'c'});
  // 0 "xx"+"x", 1 "x"+"x": "xxxx" becomes xx, xx in one pass; the rank-0 pair xx+x, there after the
  // first merge alone, is gone after the second.
  files = bpe_files({{"xx", "x"}, {"x", "x"}});
  CHECK(bpe(files).encode("xxxx") == Ids{257, 257});
  CHECK(bpe(files).encode("xxx") == Ids{256});
}

TEST_CASE("BPE: words are GPT-2's: contractions, runs of letters, digits, signs, spaces",
          "[tokenizer]") {
  const auto words = [](const std::string& text) {
    std::vector<std::string> list;
    Pretokenizer().for_each_word(text, [&](std::string_view word) { list.emplace_back(word); });
    return list;
  };
  using Words = std::vector<std::string>;
  CHECK(words("I'll don't 'tis") == Words{"I", "'ll", " don", "'t", " '", "tis"});
  CHECK(words("'S'VE") == Words{"'", "S", "'", "VE"});
  CHECK(words("a  b   \n c \n") == Words{"a", " ", " b", "   \n", " c", " \n"});
  CHECK(words("x1y22, 3.5!?") == Words{"x", "1", "y", "22", ",", " 3", ".", "5", "!?"});
  CHECK(words("na\u00efve \u7684\u4eba \u0663\u00bd") ==
        Words{"na\u00efve", " \u7684\u4eba", " \u0663\u00bd"});
  // Unicode's spaces are space, but U+180E and U+200B are not; nor is the control U+001C.
  CHECK(words("a\u00a0\u2003b") == Words{"a", "\u00a0", "\u2003", "b"});
  CHECK(words("a\u0085b") == Words{"a", "\u0085", "b"});
  CHECK(words("a \u180e\u200b\x1c") == Words{"a", " \u180e\u200b\x1c"});
  // A combining mark is no letter.
  CHECK(words("e\u0301t") == Words{"e", "\u0301", "t"});
}

TEST_CASE("BPE: decode(encode(s)) == s for every kind of UTF-8", "[tokenizer]") {
  const BpeTokenizer tokenizer = small();
  for (const std::string text :
       {"", " ", "the the", "\n\n\t", "\u00e9\u7684\U0001F600\U0010FFFF"}) {
    CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
  }
  CHECK(tokenizer.decode(tokenizer.encode(std::string("a\0b", 3))) == std::string("a\0b", 3));

  std::mt19937 random(7);
  const std::string pieces[] = {"the", " ", "\n", "'s", "12", "\u2003", "\u00e9", "\U0001F600"};
  std::string text;
  for (int i = 0; i < 20000; ++i) text += pieces[random() % std::size(pieces)];
  CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
}

TEST_CASE("BPE: a megabyte without a space does not take quadratic time", "[tokenizer]") {
  // n log n takes a fraction of a second, n^2 takes an hour: the test's time limit tells them
  // apart.
  const BpeTokenizer tokenizer = small();
  CHECK(tokenizer.encode(std::string(1'000'000, 'e')).size() == 1'000'000);
  std::string text;
  for (int i = 0; i < 333'333; ++i) text += "the";
  CHECK(tokenizer.encode(text) == Ids(333'333, 258));
  CHECK(tokenizer.encode(std::string(1'000'000, ' ')).size() == 1'000'000);
}

TEST_CASE("BPE: <|endoftext|> is one token, or 13 characters where those are asked for",
          "[tokenizer]") {
  const BpeTokenizer tokenizer = small();
  const std::string text = "the<|endoftext|><|endoftext|> the";
  CHECK(tokenizer.end_of_text() == 259);
  CHECK(tokenizer.encode(text) == Ids{258, 259, 259, 256, 'h', 'e'});
  const Ids as_text = tokenizer.encode(text, SpecialTokens::as_text);
  CHECK(std::count(as_text.begin(), as_text.end(), 259) == 0);
  CHECK(tokenizer.decode(as_text) == text);
  CHECK(tokenizer.decode(Ids{258, 259}) == "the<|endoftext|>");
}

TEST_CASE("BPE: text that is not UTF-8 is refused with the byte's offset", "[tokenizer]") {
  const BpeTokenizer tokenizer = small();
  const std::pair<std::string, std::string> bad[] = {
      {"caf\xe9!", "byte 3 (0xE9)"},          // Latin-1
      {"ab\xc3", "byte 2 (0xC3)"},            // cut inside a character
      {"\x80", "byte 0 (0x80)"},              // a continuation byte alone
      {"a\xc0\xaf", "byte 1 (0xC0)"},         // overlong
      {"a\xe0\x80\xaf", "byte 1 (0xE0)"},     // overlong
      {"ok\xed\xa0\x80", "byte 2 (0xED)"},    // a surrogate
      {"\xf4\x90\x80\x80", "byte 0 (0xF4)"},  // beyond U+10FFFF
  };
  for (const auto& [text, where] : bad) {
    try {
      (void)tokenizer.encode(text);
      FAIL("accepted what should be refused at " << where);
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::usage);
      CHECK_THAT(error.what(), Catch::Contains(where));
    }
  }
}

TEST_CASE("BPE: an id outside the vocabulary is refused, with the range", "[tokenizer]") {
  const BpeTokenizer tokenizer = small();
  for (const int id : {-1, 260, 1 << 30}) {
    CHECK_THROWS_WITH(tokenizer.decode(Ids{258, id}),
                      Catch::Contains("token id " + std::to_string(id)) &&
                          Catch::Contains("number 2 of 2") && Catch::Contains("0 to 259"));
  }
  CHECK(tokenizer.decode(all_ids(tokenizer)).size() == 256 + 2 + 2 + 3 + 13);
}

}  // namespace
}  // namespace tplab
