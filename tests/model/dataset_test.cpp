// Texts become two parts of tokens; bad ones are refused before a step is taken.
#include "model/training/dataset.h"

#include "checkpoint_pickles.h"
#include "model/tokenizers/characters.h"
#include "model/tokenizers/load.h"
#include "model/training/documentation.h"
#include "token_lists.h"
#include "tokenizer_vocabulary.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

std::string refused_text(const std::string& text, const DatasetOptions& options = {}) {
  return refusal([&] { dataset_of_text(text, "a.txt", options); });
}

}  // namespace

TEST_CASE("dataset: a text's characters are sorted by code point, and nine tenths are to learn") {
  // 11 characters of 1 to 4 bytes: int(0.9 * 11) = 9 to learn.
  const std::string text = "b\u00e9a\nb\U0001F600a\uFFFD\n\u00e9a";
  const Dataset data = dataset_of_text(text, "a.txt", {});
  CHECK(data.vocab_size == 6);
  CHECK(data.tokenizer->decode(std::vector<int>{0, 1, 2, 3, 4, 5}) == "\nab\u00e9\uFFFD\U0001F600");
  CHECK(all(data.train) == std::vector<int32_t>{2, 3, 1, 0, 2, 5, 1, 4, 0});
  CHECK(all(data.val) == std::vector<int32_t>{3, 1});
  CHECK(data.description ==
        "a.txt: 9 tokens to learn and 2 to test, 6 characters (the characters of a.txt)");
}

TEST_CASE(
    "dataset: with a tokenizer of its own, a model keeps its ids and refuses new characters") {
  const auto known = std::make_shared<CharacterTokenizer>(
      std::vector<std::string>{"c", "b", "a", "\n"}, "the checkpoint");
  const Dataset data = dataset_of_text("abababababababababca", "a.txt", {.tokenizer = known});
  CHECK(data.vocab_size == 4);
  CHECK(data.tokenizer == known);
  CHECK(all(data.val) == std::vector<int32_t>{0, 2});
  CHECK_THAT(refused_text("abd", {.tokenizer = known}),
             Contains("a.txt, in its last 10 %: 'd', character 1"));
  CHECK_THAT(refused_text("adbbbbbbbbbbbbbb", {.tokenizer = known}), Contains("'d', character 2"));
  CHECK(refused_text("aaaaaaaaaaaaaaaaaaa", {.block_size = 2, .tokenizer = known}) ==
        "a.txt: its part to be tested on (val) has 2 tokens, and a block of 2 needs 3");
}

TEST_CASE("dataset: a text that is empty, not UTF-8 or one character over and over is refused") {
  CHECK(refused_text("") == "a.txt: is empty");
  CHECK_THAT(refused_text("ab\xff"
                          "cd"),
             Contains("byte 2 (0xFF)"));
  CHECK_THAT(refused_text("abc\xc3"), Contains("byte 3 (0xC3)"));
  CHECK_THAT(refused_text("aaaa"), Contains("is 'a' and nothing else"));
  CHECK_THAT(refused_text("\u00e9\u00e9"), Contains("(U+00E9) and nothing else"));
  CHECK_THAT(refused_text("a"), Contains("nothing else"));
}

TEST_CASE("dataset: a text shorter than a block in either part is refused by the block that fits") {
  // 30 characters: 27 to learn and 3 to be tested on, which hold a block of 2 and its next token.
  const std::string text = "abcabcabcabcabcabcabcabcabcabc";
  CHECK_NOTHROW(dataset_of_text(text, "a.txt", {.block_size = 2}));
  CHECK(refused_text(text, {.block_size = 3}) ==
        "a.txt: its part to be tested on (val) has 3 tokens, and a block of 3 needs 4");
  CHECK_THAT(refused_text(text, {.block_size = 27}), Contains("learn (train) has 27 tokens"));
  CHECK_THAT(refused_text("ab"), Contains("learn (train) has 1 tokens"));
  try {
    dataset_of_text(text, "a.txt", {.block_size = 3});
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.fix() == "give a longer text, or a block of at most 2");
  }
}

TEST_CASE("dataset: special tokens in a text are read, counted, and never cut in two") {
  const auto small = std::make_shared<BpeTokenizer>(bpe(bpe_files({{"t", "h"}, {"th", "e"}})));
  std::string text;
  for (int i = 0; i < 50; ++i) text += "the<|endoftext|>";
  // Nine tenths of 800 characters end inside the 45th.
  const Dataset data = dataset_of_text(text, "a.txt", {.tokenizer = small});
  CHECK(data.train.size() == 90);
  CHECK(data.val.size() == 10);
  CHECK(all(data.train)[89] == 258);
  REQUIRE(data.notes.size() == 1);
  CHECK(data.notes[0] == "special tokens in the text: 50 <|endoftext|>");
  const Dataset literal =
      dataset_of_text(text, "a.txt", {.tokenizer = small, .special = SpecialTokens::as_text});
  CHECK(literal.notes.empty());
  CHECK(literal.train.size() + literal.val.size() > 500);
  // A byte more or less moves the split to other places of the token.
  for (size_t more = 1; more < 200; ++more) {
    const std::string longer = text + std::string(more, 't');
    const Dataset moved = dataset_of_text(longer, "a.txt", {.tokenizer = small});
    CAPTURE(more);
    REQUIRE(moved.notes[0] == "special tokens in the text: 50 <|endoftext|>");
  }
}

TEST_CASE("dataset: a text in another encoding is refused by its name and the way to convert it") {
  const auto wide = [](const std::string& ascii, int bytes, int at, std::string text) {
    for (const char c : ascii) {
      std::string one(static_cast<size_t>(bytes), '\0');
      one[static_cast<size_t>(at)] = c;
      text += one;
    }
    return text;
  };
  const auto said = [](const std::string& text) {
    try {
      dataset_of_text(text, "a.txt", {});
    } catch (const Error& error) {
      return error.problem() + " " + error.fix();
    }
    return std::string("no error");
  };
  const std::string ascii = "To be, or not to be: that is the question.\r\n";
  CHECK_THAT(said(wide(ascii, 2, 0, "\xFF\xFE")),
             Contains("a.txt: is UTF-16, not UTF-8") && Contains("iconv -f UTF-16 -t UTF-8"));
  CHECK_THAT(said(wide(ascii, 2, 1, "\xFE\xFF")), Contains("iconv -f UTF-16 "));
  CHECK_THAT(said(wide(ascii, 2, 0, "")), Contains("iconv -f UTF-16LE "));
  CHECK_THAT(said(wide(ascii, 2, 1, "")), Contains("iconv -f UTF-16BE "));
  std::string cyrillic;  // in UTF-16LE: "а" to "п", again and again, with spaces
  for (int i = 0; i < 400; ++i)
    cyrillic += i % 6 == 5 ? std::string(" \0", 2) : std::string{char(0x30 + i % 16), '\4'};
  CHECK_THAT(said(cyrillic), Contains("iconv -f UTF-16LE "));
  CHECK_THAT(said(wide(ascii, 4, 0, std::string("\xFF\xFE\0\0", 4))), Contains("-f UTF-32 "));
  CHECK_THAT(said(wide(ascii, 4, 0, "")), Contains("iconv -f UTF-32LE "));
  CHECK_THAT(said(wide(ascii, 4, 3, "")), Contains("iconv -f UTF-32BE "));
  CHECK_THAT(said(ascii + "caf\xE9" + ascii), Contains("iconv -f LATIN1"));
  CHECK_THAT(said(ascii +
                  "\x93"
                  "caf\xE9\x94" +
                  ascii),
             Contains("iconv -f WINDOWS-1252"));
  CHECK_THAT(said("\xCF\xF0\xE8\xE2\xE5\xF2, \xEC\xE8\xF0 \xE8 \xE4\xEE\xEC"),
             Contains("iconv -f ENCODING") && !Contains("LATIN1"));
  std::string accents;
  for (int i = 0; i < 30; ++i) accents += "\u00e9\u00e8 ";
  CHECK_THAT(said(accents + "\xFF" + accents), Contains("iconv -f UTF-8 -t UTF-8 -c"));
  CHECK_THAT(said(accents + "\xC3"), Contains("cut short"));
  CHECK_THAT(said("%PDF-1.7\n" + ascii), Contains("PDF"));
  CHECK_THAT(said("PK\x03\x04" + std::string(20, '\0') + "\xFF\x80"), Contains("zip"));
  CHECK_THAT(said(std::string("\x01\x02\x00\xFF\x05", 5) + "abc"), Contains("no text at all"));
}

TEST_CASE("dataset: a mark of UTF-8 is left out of a text, and Windows' line ends are kept") {
  std::string text = "\xEF\xBB\xBF";
  for (int i = 0; i < 20; ++i) text += "ab\r\n";
  const Dataset data = dataset_of_text(text, "a.txt", {});
  CHECK(data.train.size() + data.val.size() == 80);
  CHECK(data.vocab_size == 4);
  REQUIRE(data.notes.size() == 2);
  CHECK_THAT(data.notes[0], Contains("a.txt: left out the mark of UTF-8 (BOM)"));
  CHECK_THAT(data.notes[1], Contains("\\r\\n"));
  CHECK(refused_text("\xEF\xBB\xBF") == "a.txt: is empty");
}

TEST_CASE("dataset: the cases' token files and texts are read or refused as they should be") {
  if (!has_shared_data("cases/right_results.json")) return;
  const Dataset wide = open_dataset(shared_data("cases/01-uint32-tokens"), {});
  CHECK(wide.train.size() == 3000);
  CHECK(wide.val.size() == 600);
  const Dataset nameless = open_dataset(shared_data("cases/09-meta-without-characters"), {});
  CHECK(nameless.train.size() == 3000);
  CHECK(nameless.vocab_size == 150);
  const auto tokenizer = load_tokenizer(shared_data("cases/04-endoftext-in-prompt"));
  const Dataset stories = open_dataset(
      shared_data("cases/04-endoftext-in-prompt/stories.txt"),
      {.tokenizer = std::shared_ptr(load_tokenizer(shared_data("cases/04-endoftext-in-prompt")))});
  REQUIRE(stories.notes.size() == 1);
  CHECK_THAT(stories.notes[0], Contains("special tokens in the text: 60 <|endoftext|>"));
  try {
    open_dataset(shared_data("cases/17-utf16-and-bom/powershell.txt"), {});
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK_THAT(error.fix(), Contains("iconv -f UTF-16 -t UTF-8"));
  }
}

TEST_CASE("documentation: the text that ships with tplab is its Markdown, fit to train on") {
  const std::string_view text = documentation_text();
  for (const char* document : {"README.md", "sim/README.md", "tutorials/01-split-and-prove.md"}) {
    CAPTURE(document);
    CHECK(text.find(file_bytes(std::string(TPLAB_SOURCE_DIR) + "/" + document)) != text.npos);
  }
  const Dataset data = dataset_of_text(text, "tplab's documentation", {.block_size = 256});
  CHECK(data.vocab_size > 60);
}

TEST_CASE("dataset: tiny-shakespeare has nanoGPT's 65 characters and its 1003854 + 111540 tokens") {
  if (!has_shared_data("tinyshakespeare/input.txt")) return;
  const Dataset data = open_dataset(shared_data("tinyshakespeare/input.txt"), {.block_size = 64});
  CHECK(data.train.size() == 1'003'854);  // as prepare.py prints them
  CHECK(data.val.size() == 111'540);
  CHECK(data.vocab_size == 65);
  std::vector<int> ids(65);
  for (int i = 0; i < 65; ++i) ids[static_cast<size_t>(i)] = i;
  const auto meta = load_tokenizer(shared_data("nanogpt-shakespeare-char/meta.pkl"));
  CHECK(data.tokenizer->decode(ids) == meta->decode(ids));  // nanoGPT's own list
}
