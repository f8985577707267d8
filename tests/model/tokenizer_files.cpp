// Tokenizer files that are missing, damaged or hostile: each a clear refusal.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "tokenizer_vocabulary.h"

namespace tplab {
namespace {

using Catch::Contains;
using testing::BpeFiles;
using testing::refusal;
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
  CHECK_THAT(refusal({"", ""}), Contains("vocab.json: not JSON"));
  CHECK_THAT(refusal({whole.substr(0, whole.size() / 2), ""}), Contains("not JSON"));
  CHECK_THAT(refusal({whole + "{}", ""}), Contains("not JSON"));
  CHECK_THAT(refusal({std::string("\xff\xfe\x00", 3), ""}), Contains("not JSON"));
  CHECK_THAT(refusal(with_vocab("\"!\"", "\"\xff\"")), Contains("not JSON"));
}

TEST_CASE("tokenizer files: a vocabulary of another shape is refused", "[tokenizer]") {
  CHECK_THAT(refusal({"{}", ""}), Contains("single byte 0x00"));
  CHECK_THAT(refusal({"7", ""}), Contains("a number where an object of tokens should be"));
  CHECK_THAT(refusal({"null", ""}), Contains("null where an object"));
  CHECK_THAT(refusal({std::string(1'000'000, '['), ""}), Contains("an array where an object"));
  CHECK_THAT(refusal(with_vocab("\"!\": 33", "\"!\": {\"a\": 1}")),
             Contains("an object where an id"));
  CHECK_THAT(refusal(with_vocab("\"!\": 33", "\"!\": [33]")), Contains("an array where an id"));
  CHECK_THAT(refusal(with_vocab("\"!\": 33", "\"!\": \"33\"")), Contains("\"33\" where an id"));
  CHECK_THAT(refusal(with_vocab("\"!\": 33", "\"!\": true")), Contains("a boolean where an id"));
  CHECK_THAT(refusal(with_vocab("\"!\": 33", "\"!\": 33.0")), Contains("where an id"));
}

TEST_CASE("tokenizer files: ids must be 0 to n-1, each once", "[tokenizer]") {
  CHECK_THAT(refusal(with_vocab(": 33,", ": -33,")), Contains("the id -33"));
  CHECK_THAT(refusal(with_vocab(": 33,", ": 34,")), Contains("two tokens have the id 34"));
  CHECK_THAT(refusal(with_vocab(": 33,", ": 259,")), Contains("id 259 is too large"));
  CHECK_THAT(refusal(with_vocab(": 33,", ": 4294967329,")), Contains("the id 4294967329"));
  CHECK_THAT(refusal(with_vocab(": 33,", ": 99999999999999999999999,")), Contains("where an id"));
  CHECK_THAT(refusal(with_vocab("\"#\"", "\"!\"")), Contains("\"!\" appears twice"));
}

TEST_CASE("tokenizer files: every token is written in the byte alphabet", "[tokenizer]") {
  CHECK_THAT(refusal(with_vocab("\"the\"", "\"\"")), Contains("byte alphabet"));
  CHECK_THAT(refusal(with_vocab("\"the\"", "\"\u7684\"")), Contains("byte alphabet"));
  CHECK_THAT(refusal(with_vocab("\"the\"", "\"a b\"")), Contains("byte alphabet"));
  CHECK_THAT(refusal(with_vocab("\"!\"", "\"!!\"")), Contains("single byte 0x21"));
  // A hostile token of a megabyte does not become a message of a megabyte.
  CHECK(refusal(with_vocab("\"the\"", "\"" + std::string(1'000'000, ' ') + "\"")).size() < 400);
}

TEST_CASE("tokenizer files: merges must be pairs of known tokens that make a known token",
          "[tokenizer]") {
  CHECK_THAT(refusal(with_merges("t h\nth")), Contains("merges.txt: line 2: not two tokens"));
  CHECK_THAT(refusal(with_merges("t h\nth e x\n")), Contains("line 2: not two tokens"));
  CHECK_THAT(refusal(with_merges("t h\n e\n")), Contains("line 2: not two tokens"));
  CHECK_THAT(refusal(with_merges("t h\nthe y\n")), Contains("no token for the pair \"the y\""));
  CHECK_THAT(refusal(with_merges("t h\nab c\n")), Contains("\"ab\" is not in the vocabulary"));
  CHECK_THAT(refusal(with_merges("t h\nth \u7684\n")), Contains("byte alphabet"));
  CHECK_THAT(refusal(with_merges("t h\nth \xff\xfe\n")), Contains("not UTF-8"));
  CHECK_THAT(refusal(with_merges("t h\nt h\n")),
             Contains("line 2: the pair \"t h\" appears twice"));
}

TEST_CASE("tokenizer files: merges cut short at a line's end are noticed", "[tokenizer]") {
  CHECK_THAT(refusal(with_merges("")), Contains("no merge makes token 256"));
  CHECK_THAT(refusal(with_merges("#version: 0.2\nt h\n")), Contains("no merge makes token 257"));
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
  CHECK_THROWS_WITH(BpeTokenizer::load(folder.path() / "other.json"), Contains("holds no GPT-2"));
}

}  // namespace
}  // namespace tplab
