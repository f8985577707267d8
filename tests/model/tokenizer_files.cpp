// Tokenizer files that are missing, damaged or hostile: each a clear refusal.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "tokenizer_vocabulary.h"

namespace tplab {
namespace {

using Catch::Contains;
using namespace testing;
namespace fs = std::filesystem;

BpeFiles good() { return testing::bpe_files({{"t", "h"}, {"th", "e"}}); }

// The good files with the first `from` of the vocabulary replaced.
BpeFiles with_vocab(const std::string& from, const std::string& to) {
  BpeFiles files = good();
  const size_t at = files.vocab.find(from);
  REQUIRE(at != std::string::npos);
  files.vocab.replace(at, from.size(), to);
  return files;
}

BpeFiles with_merges(const std::string& merges) {
  return {.vocab = good().vocab, .merges = merges};
}

// A folder that is removed at the end of the test.
class Folder {
 public:
  explicit Folder(const std::string& name) : path_(fs::path(TPLAB_BINARY_DIR) / name) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const fs::path& path() const { return path_; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }

 private:
  fs::path path_;
};

TEST_CASE("tokenizer files: good ones are accepted", "[tokenizer]") {
  CHECK(refusal(good()) == "no error");
  CHECK(refusal(with_merges("t h\r\nth e\r\n")) == "no error");
}

TEST_CASE("tokenizer files: a vocabulary that is not JSON is refused with its byte",
          "[tokenizer]") {
  const std::string whole = good().vocab;
  CHECK_THAT(refusal({"", ""}), Contains("vocab.json: "));
  CHECK_THAT(refusal({whole.substr(0, whole.size() / 2), ""}), Contains("not JSON"));
  CHECK_THAT(refusal({whole + "{}", ""}), Contains("not JSON"));
  CHECK_THAT(refusal({std::string("\xff\xfe\x00", 3), ""}), Contains("not JSON"));
  CHECK_THAT(refusal(with_vocab("\"!\"", "\"\xff\"")), Contains("not JSON"));
}

TEST_CASE("tokenizer files: a vocabulary of another shape is refused", "[tokenizer]") {
  CHECK_THAT(refusal({"{}", ""}), Contains("vocab.json: has no tokens"));
  CHECK_THAT(refusal({"7", ""}), Contains("not a JSON object"));
  CHECK_THAT(refusal({"null", ""}), Contains("not a JSON object"));
  CHECK_THAT(refusal({std::string(1'000'000, '['), ""}), Contains("nested"));
  CHECK_THAT(refusal(with_vocab("\"!\": 33", "\"!\": {\"a\": 1}")),
             Contains("an object where an id"));
  CHECK_THAT(refusal(with_vocab("\"!\": 33", "\"!\": [33]")), Contains("an array where an id"));
  CHECK_THAT(refusal(with_vocab("\"!\": 33", "\"!\": \"33\"")), Contains("a string where an id"));
  CHECK_THAT(refusal(with_vocab("\"!\": 33", "\"!\": true")), Contains("a boolean where an id"));
  CHECK_THAT(refusal(with_vocab("\"!\": 33", "\"!\": 33.0")), Contains("33.0 where an id"));
}

TEST_CASE("tokenizer files: an id is one token's, and not far above their number", "[tokenizer]") {
  CHECK_THAT(refusal(with_vocab(": 33,", ": -33,")), Contains("-33 where an id"));
  CHECK_THAT(refusal(with_vocab(": 33,", ": 34,")),
             Contains("two tokens have the id 34: '!' and '\"'"));
  CHECK_THAT(refusal(with_vocab(": 33,", ": 2000,")), Contains("id 2000 is too large"));
  CHECK_THAT(refusal(with_vocab(": 33,", ": 4294967329,")), Contains("the id 4294967329"));
  CHECK_THAT(refusal(with_vocab(": 33,", ": 99999999999999999999999,")), Contains("where an id"));
  CHECK_THAT(refusal(with_vocab("\"#\"", "\"!\"")), Contains("two values named '!'"));
}

TEST_CASE("tokenizer files: ids may leave a gap, which is said and stands for nothing",
          "[tokenizer]") {
  const BpeTokenizer tokenizer = testing::bpe(with_vocab(": 33,", ": 300,"));
  CHECK(tokenizer.vocab_size() == 301);
  REQUIRE(tokenizer.notes().size() == 1);
  CHECK_THAT(tokenizer.notes()[0], Contains("no token has the id 33 (42 such ids)"));
  CHECK(tokenizer.encode("!") == std::vector<int>{300});
  CHECK_FALSE(tokenizer.knows(33));
  CHECK_THROWS_WITH(tokenizer.decode(std::vector<int>{33}), Contains("token id 33"));
}

TEST_CASE("tokenizer files: what merges make is written in the byte alphabet", "[tokenizer]") {
  CHECK_THAT(refusal(with_vocab("\"the\"", "\"\"")), Contains("a token is empty"));
  for (const char* other : {"\"\u7684\"", "\"a b\""})
    CHECK_THAT(refusal(with_vocab("\"the\"", other)), Contains("no token for the pair 'th e'"));
  // A hostile token of a megabyte does not become a message of a megabyte.
  CHECK(refusal(with_vocab("\"the\"", "\"" + std::string(1'000'000, ' ') + "\"")).size() < 400);
  // A special token may be written as it is.
  const BpeTokenizer tokenizer = testing::bpe(with_vocab("<|endoftext|>", "\u7684 end"));
  CHECK(tokenizer.decode(std::vector<int>{258}) == "\u7684 end");
}

TEST_CASE("tokenizer files: merges must be pairs of known tokens that make a known token",
          "[tokenizer]") {
  CHECK_THAT(refusal(with_merges("t h\nth")), Contains("merges.txt: line 2: not two tokens"));
  CHECK_THAT(refusal(with_merges("t h\nth e x\n")), Contains("line 2: not two tokens"));
  CHECK_THAT(refusal(with_merges("t h\n e\n")), Contains("line 2: not two tokens"));
  CHECK_THAT(refusal(with_merges("t h\nthe y\n")), Contains("no token for the pair 'the y'"));
  CHECK_THAT(refusal(with_merges("t h\nab c\n")), Contains("'ab' is not in the vocabulary"));
  CHECK_THAT(refusal(with_merges("t h\nth \u7684\n")), Contains("byte alphabet"));
  CHECK_THAT(refusal(with_merges("t h\nth \xff\xfe\n")), Contains("not UTF-8"));
  CHECK_THAT(refusal(with_merges("t h\nt h\n")), Contains("line 2: the pair 't h' appears twice"));
  // Characters with "</w>" at a word's end, as the first GPT had them, and a lost line.
  CHECK_THAT(refusal({R"({"a": 0, "b</w>": 1, "ab</w>": 2})", "a b</w>\n"}),
             Contains("line 1: 'b</w>' is no byte, and no merge makes it"));
  CHECK_THAT(refusal(with_merges("th e\n")), Contains("line 1: 'th' is no byte"));
}

// Sixty merges: a letter and a digit.
BpeFiles sixty() {
  std::vector<std::pair<std::string, std::string>> merges;
  for (char letter = 'a'; letter < 'g'; ++letter)
    for (char digit = '0'; digit <= '9'; ++digit)
      merges.emplace_back(std::string(1, letter), std::string(1, digit));
  return testing::bpe_files(merges);
}

TEST_CASE("tokenizer files: a token that no merge makes is special, and said to be one",
          "[tokenizer]") {
  BpeFiles files = with_vocab("\"<|endoftext|>\": 258", "\"pad_token\": 258, \"persona\": 259");
  const BpeTokenizer tokenizer = testing::bpe(files);
  CHECK(tokenizer.encode("the") == std::vector<int>{257});
  CHECK(tokenizer.decode(std::vector<int>{259}) == "persona");
  CHECK(tokenizer.encode("persona") == std::vector<int>{'p', 'e', 'r', 's', 'o', 'n', 'a'});
  REQUIRE(tokenizer.notes().size() == 1);
  CHECK_THAT(tokenizer.notes()[0],
             Contains("no merge makes the token 'pad_token' (258) and 1 more: taken for special"));
  CHECK(testing::bpe(good()).notes().empty());
}

TEST_CASE("tokenizer files: merges cut short at a line's end are noticed", "[tokenizer]") {
  BpeFiles files = sixty();
  CHECK(refusal(files) == "no error");
  files.merges.resize(files.merges.find("c 4"));
  CHECK_THAT(refusal(files), Contains("merges.txt: no merge makes 36 tokens of the vocabulary") &&
                                 Contains("'c4' (280) the first") && Contains("truncated"));
  files.merges.clear();
  CHECK_THAT(refusal(files), Contains("no merge makes 60 tokens"));
}

TEST_CASE("tokenizer files: a mark of UTF-8 at their beginning is passed over", "[tokenizer]") {
  const BpeTokenizer tokenizer =
      testing::bpe({"\xEF\xBB\xBF" + good().vocab, "\xEF\xBB\xBF" + good().merges});
  CHECK(tokenizer.encode("the") == std::vector<int>{257});
}

TEST_CASE("tokenizer files: without the whole byte alphabet, a text that needs more is refused",
          "[tokenizer]") {
  const BpeTokenizer tokenizer =
      testing::bpe({R"({"t": 0, "h": 1, "e": 2, "th": 3, "the": 4, "\u0120": 5})", "t h\nth e\n"});
  CHECK(tokenizer.encode("the the") == std::vector<int>{4, 5, 4});
  CHECK_THROWS_WITH(tokenizer.encode("the e\u00e9"),
                    Contains("(U+00E9), character 6 of the text (byte 5), needs the byte 0xC3"));
  CHECK_THROWS_WITH(tokenizer.encode("the Q"), Contains("'Q', character 5") && Contains("0x51"));
}

TEST_CASE("tokenizer files: found under either pair of names, or by any one of them",
          "[tokenizer]") {
  const Folder folder("tokenizer_names");
  folder.write("encoder.json", good().vocab);
  folder.write("vocab.bpe", good().merges);
  for (const char* name : {"", "encoder.json", "vocab.bpe"}) {
    CHECK(BpeTokenizer::load(folder.path() / name).encode("the") == std::vector<int>{257});
  }
  const Folder other("tokenizer_names_of_hugging_face");
  other.write("vocab.json", good().vocab);
  other.write("merges.txt", good().merges);
  CHECK(BpeTokenizer::load(other.path()).description() ==
        "GPT-2 byte-level BPE, 259 tokens (" + (other.path() / "vocab.json").string() + ")");
}

TEST_CASE("tokenizer files: a missing file is named", "[tokenizer]") {
  const Folder folder("tokenizer_missing");
  CHECK_THROWS_WITH(BpeTokenizer::load(folder.path() / "nothing"), Contains("no such file"));
  CHECK_THROWS_WITH(BpeTokenizer::load(folder.path()),
                    Contains("holds no GPT-2 tokenizer") && Contains("vocab.json and merges.txt"));
  folder.write("vocab.json", good().vocab);
  CHECK_THROWS_WITH(BpeTokenizer::load(folder.path()), Contains("merges.txt is missing"));
  folder.write("vocab.bpe", good().merges);  // a half of each pair is not a tokenizer
  CHECK_THROWS_WITH(BpeTokenizer::load(folder.path()), Contains("is missing"));
  folder.write("other.json", "{}");
  CHECK_THROWS_WITH(BpeTokenizer::load(folder.path() / "other.json"),
                    Contains("other.json: the pre-tokenizer is none"));
}

}  // namespace
}  // namespace tplab
