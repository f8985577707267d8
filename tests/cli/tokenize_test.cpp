// tplab tokenize: text and ids, both ways, through arguments and stdin.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <sstream>

#include "run_tplab.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
using nlohmann::json;

Ran tokenize(std::vector<std::string> more, const How& how = {},
             const std::string& tokenizer = fixture("gpt2-tiny")) {
  more.insert(more.begin(), {"tokenize", "--tokenizer", tokenizer});
  return tplab(more, how);
}

// Everything a text can hold: several lines, é, an emoji, a NUL, no newline at the end.
const std::string kText = std::string("the end\n\n  in a th\xC3\xA9\x61ter \xF0\x9F\x98\x80\tx") +
                          std::string(1, '\0') + "y";

TEST_CASE("tokenize: decode gives back every byte of stdin") {
  const Ran encoded = tokenize({}, {.input = kText});
  CHECK(encoded.exit_code == 0);
  const Ran decoded = tokenize({"--decode"}, {.input = encoded.out});
  CHECK(decoded.exit_code == 0);
  CHECK(decoded.out == kText);
  CHECK(tokenize({"-"}, {.input = kText}).out == encoded.out);
}

TEST_CASE("tokenize: --json is {ids} and {text}") {
  const json ids = tokenize({"--json", "the end"}).json();
  REQUIRE(ids["ids"].is_array());
  std::vector<std::string> words = {"--decode", "--json"};
  for (const json& id : ids["ids"]) words.push_back(id.dump());
  CHECK(tokenize(words).json()["text"] == "the end");
}

TEST_CASE("tokenize: ids may be separated by spaces, commas and newlines") {
  const std::string expected = tokenize({"--decode", "1", "2", "3", "4"}).out;
  CHECK(tokenize({"--decode", "1,2, 3", "4"}).out == expected);
  CHECK(tokenize({"--decode"}, {.input = "1\n2\r\n3,4\n"}).out == expected);
  CHECK(tokenize({"--decode"}, {.input = " \n"}).out.empty());
}

TEST_CASE("tokenize: a text that is a command's name is still a text") {
  CHECK(tokenize({"info"}).exit_code == 0);
  CHECK(tokenize({"--", "--json"}).exit_code == 0);
}

TEST_CASE("tokenize: <|endoftext|> is a token unless its characters are asked for") {
  CHECK(tokenize({"--json", "<|endoftext|>"}).json()["ids"] == json::array({263}));
  CHECK(tokenize({"--json", "--allow-special", "<|endoftext|>"}).json()["ids"].size() == 1);
  CHECK(tokenize({"--json", "--no-special", "<|endoftext|>"}).json()["ids"].size() > 1);
}

TEST_CASE("tokenize: nanoGPT's characters, by file and by folder") {
  const std::string meta = fixture("nanogpt-tiny/meta.pkl");
  const Ran ran = tokenize({"Hi!"}, {}, meta);
  CHECK(ran.out == "41 74 2\n");  // the newline is 0, then ASCII from the space on
  CHECK(tokenize({"Hi!"}, {}, fixture("nanogpt-tiny")).out == ran.out);
  const Ran other = tokenize({"caf\xC3\xA9"}, {}, meta);
  CHECK(other.exit_code == 2);
  CHECK_THAT(other.err, Contains("character 4") && Contains("U+00E9") && Contains("fix:"));
}

TEST_CASE("tokenize: what cannot be encoded or decoded is refused with its place") {
  const auto refused = [](const Ran& ran, const std::string& message) {
    CHECK(ran.exit_code == 2);
    CHECK(ran.out.empty());
    CHECK_THAT(ran.err, Contains(message) && Contains("fix:"));
  };
  refused(tokenize({}, {.input = "ab\xFFgh"}), "byte 2 (0xFF)");
  refused(tokenize({"one", "two"}), "quotes");
  refused(tokenize({"--decode", "1", "x2"}), "'x2' (number 2)");
  refused(tokenize({"--decode", "99999999999999999999"}), "not a token id");
  refused(tokenize({"--decode"}, {.input = "1 -2"}), "'-2' (number 2)");
  refused(tokenize({"--decode", "264"}), "264");
}

TEST_CASE("tokenize: GPT-2's vectors, and a book there and back") {
  const std::string folder = shared_data("gpt2-tokenizer");
  if (folder.empty()) return;
  std::istringstream vectors(file_text(folder + "/vectors.txt"));
  std::string texts, ids;
  for (std::string line; std::getline(vectors, line);) {
    const size_t arrow = line.rfind(" => ");
    if (texts.size() < 300) {  // each alone, for the first few
      CHECK(tokenize({"--json", "--", line.substr(0, arrow)}, {}, folder).json()["ids"] ==
            json::parse(fmt::format("[{}]", line.substr(arrow + 4))));
    }
    texts += line.substr(0, arrow);
    ids += line.substr(arrow + 4) + "\n";
  }
  CHECK(tokenize({"--decode"}, {.input = ids}, folder).out == texts);  // and all of them together

  const std::string book = shared_data("tinyshakespeare/input.txt");
  if (book.empty()) return;
  const std::string text = file_text(book);
  const std::string all = tokenize({}, {.input = text}, folder).out;
  CHECK(tokenize({"--decode"}, {.input = all}, folder).out == text);
}

}  // namespace
}  // namespace tplab
