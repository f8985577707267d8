// Texts and token files become two parts and batches; bad ones are refused before a step is taken.
#include "model/training/dataset.h"

#include <map>
#include <set>

#include "checkpoint_pickles.h"
#include "model/tokenizers/characters.h"
#include "model/tokenizers/load.h"
#include "model/training/documentation.h"
#include "tokenizer_vocabulary.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

std::vector<int32_t> all(const TokenList& tokens) {
  std::vector<int32_t> ids(static_cast<size_t>(tokens.size()));
  tokens.read(0, tokens.size(), ids.data());
  return ids;
}

std::string refused_text(const std::string& text, const DatasetOptions& options = {}) {
  return refusal([&] { dataset_of_text(text, "a.txt", options); });
}

// 0, 1, 2, ...: so that a sequence's first id says where it starts.
std::vector<int32_t> counting(int32_t n) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < n; ++i) ids.push_back(i);
  return ids;
}

Dataset counting_dataset(int32_t n_train, int32_t n_val) {
  Dataset data;
  data.train = TokenList(counting(n_train));
  data.val = TokenList(counting(n_val));
  data.vocab_size = std::max(n_train, n_val);
  return data;
}

std::string bin(const std::vector<uint16_t>& ids) { return raw(ids); }

}  // namespace

TEST_CASE("dataset: a text's characters are sorted by code point, and nine tenths are to learn") {
  // 11 characters of 1 to 4 bytes: int(0.9 * 11) = 9 to learn.
  const std::string text = "b\u00e9a\nb\U0001F600a\uFFFD\n\u00e9a";
  const Dataset data = dataset_of_text(text, "a.txt", {});
  CHECK(data.vocab_size == 6);
  CHECK(data.tokenizer->decode(std::vector<int>{0, 1, 2, 3, 4, 5}) == "\nab\u00e9\uFFFD\U0001F600");
  CHECK(all(data.train) == std::vector<int32_t>{2, 3, 1, 0, 2, 5, 1, 4, 0});
  CHECK(all(data.val) == std::vector<int32_t>{3, 1});
  CHECK(data.description == "a.txt: 9 + 2 tokens, 6 characters (the characters of a.txt)");
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

TEST_CASE("dataset: nanoGPT's token files are read where they are, with the meta.pkl beside them") {
  const TempFolder folder;
  folder.write("train.bin", bin({0, 1, 2, 3, 95}));
  folder.write("val.bin", bin({4, 5}));
  const Dataset plain = open_dataset(folder.path(), {});
  CHECK(plain.tokenizer == nullptr);
  CHECK(plain.vocab_size == 50257);
  CHECK(all(plain.train) == std::vector<int32_t>{0, 1, 2, 3, 95});
  CHECK(all(plain.val) == std::vector<int32_t>{4, 5});
  fs::copy_file(fixture("nanogpt-tiny/meta.pkl"), folder.path("meta.pkl"));
  const Dataset named = open_dataset(folder.path(), {});
  CHECK(named.vocab_size == named.tokenizer->vocab_size());
  CHECK(named.tokenizer->decode(all(named.train)) ==
        load_tokenizer(fixture("nanogpt-tiny"))->decode(std::vector<int>{0, 1, 2, 3, 95}));
}

TEST_CASE("dataset: a token file that is odd, empty, absent or past the vocabulary is refused") {
  const auto refused = [](const std::string& train, const std::string& val,
                          const DatasetOptions& options = {.vocab_size = 100}) {
    const TempFolder folder;
    folder.write("train.bin", train);
    if (!val.empty()) folder.write("val.bin", val == "empty" ? "" : val);
    return refusal([&] { open_dataset(folder.path(), options); });
  };
  const std::string good = bin({1, 2, 3});
  CHECK_THAT(refused(good + "x", good),
             Contains("train.bin: has 7 bytes, which is no whole number of ids of 2 bytes"));
  CHECK_THAT(refused(good, "empty"), Contains("val.bin: is empty"));
  CHECK_THAT(refused(good, ""), Contains("val.bin: cannot be opened"));
  CHECK_THAT(refused(bin({1, 99, 100, 2}), good),
             Contains("train.bin: token 100 (number 2, from 0) is outside the vocabulary of 100"));
  CHECK_THAT(refused(good, bin({1, 65535})), Contains("val.bin: token 65535 (number 1, from 0)"));
  CHECK_THAT(refused(good, good, {.block_size = 3}), Contains("has 3 tokens, and a block of 3"));
  // Past the first megabyte, which is read at once.
  std::vector<uint16_t> many(700'000, 7);
  many[600'001] = 1000;
  CHECK_THAT(refused(bin(many), good), Contains("token 1000 (number 600001, from 0)"));
  const TempFolder empty;
  CHECK_THAT(refusal([&] { open_dataset(empty.path(), {}); }), Contains("without train.bin"));
  CHECK_THAT(refusal([&] { open_dataset(empty.path("absent"), {}); }),
             Contains("cannot be opened"));
}

// `n` ids from 1 to `below` - 1, none in order, as numbers of type Id.
template <class Id>
std::string ids_as(int n, int below, bool is_big_endian = false) {
  std::string bytes;
  for (int i = 0; i < n; ++i) {
    std::string id = raw<Id>({static_cast<Id>(1 + i * 37 % (below - 1))});
    if (is_big_endian) std::reverse(id.begin(), id.end());
    bytes += id;
  }
  return bytes;
}

// The ids of train.bin, or what it is refused by.
std::string read_as(const std::string& train, int64_t vocab_size,
                    IdWidth width = IdWidth::automatic) {
  const TempFolder folder;
  folder.write("train.bin", train);
  folder.write("val.bin", train);
  std::vector<int32_t> ids;
  try {
    const Dataset data = open_dataset(folder.path(), {.vocab_size = vocab_size, .id_width = width});
    ids = all(data.train);
    const bool is_unusual = data.train.width() != IdWidth::two;
    CHECK(data.notes.empty() != (is_unusual && width == IdWidth::automatic));
  } catch (const Error& error) {
    return error.what();
  }
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] != static_cast<int32_t>(1 + i * 37 % static_cast<size_t>(vocab_size - 1)))
      return "other ids";
  return std::to_string(ids.size()) + " ids";
}

TEST_CASE("dataset: ids of any width are read as what they are") {
  for (const int below : {65, 150, 256, 1000, 50257}) {
    CAPTURE(below);
    CHECK(read_as(ids_as<uint16_t>(3000, below), below) == "3000 ids");
    CHECK(read_as(ids_as<uint32_t>(3000, below), below) == "3000 ids");
    CHECK(read_as(ids_as<int32_t>(3001, below), below) == "3001 ids");
    CHECK(read_as(ids_as<int64_t>(3000, below), below) == "3000 ids");
    if (below <= 256) CHECK(read_as(ids_as<uint8_t>(3001, below), below) == "3001 ids");
  }
  CHECK(read_as(ids_as<uint32_t>(3000, 128'256), 128'256) == "3000 ids");
  // What the numbers cannot tell can be said.
  CHECK(read_as(ids_as<uint32_t>(3, 100), 100, IdWidth::four) == "3 ids");
  std::vector<uint16_t> one_and_zero;
  for (int i = 0; i < 100; ++i) one_and_zero.insert(one_and_zero.end(), {1, 0, 2, 0});
  CHECK(read_as(bin(one_and_zero), 100, IdWidth::two) == "other ids");
  CHECK(all(TokenList(bytes_in_memory(bin(one_and_zero), "a"), 100, IdWidth::two)).size() == 400);
}

TEST_CASE("dataset: what is no list of ids is refused by what it looks like") {
  CHECK_THAT(read_as(ids_as<uint16_t>(3000, 65, true), 50257), Contains("big-endian uint16"));
  CHECK_THAT(read_as(ids_as<uint16_t>(3000, 65, true), 65), Contains("big-endian uint16"));
  CHECK_THAT(read_as(ids_as<uint16_t>(3000, 50257, true), 50257), Contains("big-endian uint16"));
  CHECK_THAT(read_as(ids_as<uint32_t>(3000, 65, true), 65), Contains("big-endian int32"));
  CHECK_THAT(read_as(ids_as<uint32_t>(3000, 65, true), 50257), Contains("big-endian int32"));
  CHECK_THAT(read_as(ids_as<int64_t>(3000, 65, true), 65), Contains("big-endian int64"));
  CHECK_THAT(read_as(ids_as<float>(3000, 65), 50257), Contains("float32"));
  CHECK_THAT(read_as(ids_as<float>(3000, 65), 65), Contains("float32"));
  CHECK_THAT(read_as(ids_as<double>(3000, 65), 50257), Contains("float64"));
  CHECK_THAT(read_as(ids_as<uint8_t>(3000, 65), 50257), Contains("looks like uint8"));
  CHECK_THAT(read_as(ids_as<uint8_t>(8000, 150), 50257), Contains("looks like uint8"));
  CHECK_THAT(read_as(ids_as<uint32_t>(3000, 80), 65), Contains("int32 (or uint32), with numbers "
                                                               "from 1 to 79"));
  CHECK_THAT(read_as(ids_as<int32_t>(3000, 65) + raw<int32_t>({-100}), 65),
             Contains("int32 (or uint32), with numbers from -100 to 64"));
  CHECK_THAT(read_as("\x93NUMPY\x01" + std::string(121, ' ') + ids_as<uint16_t>(3000, 65), 50257),
             Contains(".npy file"));
  CHECK_THAT(read_as(raw<int32_t>({20240520, 1, 3000}) + std::string(1012, '\0'), 50257),
             Contains("llm.c"));
  CHECK_THAT(read_as("PK\x03\x04" + std::string(1000, 'x'), 50257), Contains("zip archive"));
  std::string text;
  for (int i = 0; i < 100; ++i) text += "To be, or not to be.\n";
  CHECK_THAT(read_as(text, 50257), Contains("looks like a text"));
  CHECK_THAT(read_as(text, 65), Contains("looks like a text"));
  // Cut inside an id: not uint8, whose every second id would be 0.
  CHECK_THAT(read_as(ids_as<uint16_t>(3000, 65).substr(1), 65), Contains("big-endian"));
  CHECK_THAT(read_as(ids_as<uint16_t>(3000, 65).substr(0, 5999), 65), Contains("no whole number"));
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

TEST_CASE("dataset: a meta.pkl without characters gives its vocabulary's size alone") {
  const TempFolder folder;
  folder.write("train.bin", bin({0, 1, 2, 3, 149}));
  folder.write("val.bin", bin({4, 5}));
  folder.write("meta.pkl", p_pickle(p_dict({{"vocab_size", p_int(150)}})));
  const Dataset data = open_dataset(folder.path(), {});
  CHECK(data.vocab_size == 150);
  CHECK(data.tokenizer == nullptr);
  REQUIRE(data.notes.size() == 1);
  CHECK_THAT(data.notes[0], Contains("meta.pkl: its tokens are not listed; their ids are shown"));
  CHECK_THAT(refusal([&] { load_tokenizer(folder.path()); }),
             Contains("says how many tokens there are, and not which"));
  folder.write("train.bin", bin({0, 1, 150}));
  CHECK_THAT(refusal([&] { open_dataset(folder.path(), {}); }),
             Contains("token 150 (number 2, from 0) is outside the vocabulary of 150"));
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

TEST_CASE("dataset: a token file that changes under a running program is refused, not believed") {
  const TempFolder folder;
  folder.write("train.bin", bin({1, 2, 3, 4}));
  folder.write("val.bin", bin({1, 2}));
  const Dataset data = open_dataset(folder.path(), {.vocab_size = 5});
  folder.write("train.bin", bin({9, 9, 9, 9}));
  CHECK_THAT(refusal([&] { sample(data, Part::train, 0, {0, 1}, 2, 1); }), Contains("token 9"));
  folder.write("train.bin", "");
  CHECK_THAT(refusal([&] { sample(data, Part::train, 0, {0, 1}, 2, 1); }), Contains("shorter"));
}

TEST_CASE("batches: y is x one token later, both from the part that was asked for") {
  const Dataset data = counting_dataset(1000, 50);
  for (const Part part : {Part::train, Part::val}) {
    const Batch batch = sample(data, part, 3, {0, 40}, 8, 1337);
    CHECK(batch.x.shape() == Shape{40, 8});
    CHECK(batch.y.shape() == Shape{40, 8});
    REQUIRE(batch.x.ids.size() == 320);
    REQUIRE(batch.y.ids.size() == 320);
    int32_t largest = 0;
    for (size_t i = 0; i < 320; ++i) {
      REQUIRE(batch.y.ids[i] == batch.x.ids[i] + 1);
      if (i % 8 != 0) REQUIRE(batch.x.ids[i] == batch.x.ids[i - 1] + 1);
      largest = std::max(largest, batch.y.ids[i]);
    }
    CHECK(largest < data.part(part).size());
    CHECK((part == Part::val || largest > 50));
  }
}

TEST_CASE("batches: a sequence depends on seed, part, step and its place in the batch, no more") {
  const Dataset data = counting_dataset(1'000'000, 1'000'000);
  const auto x = [&](Part part, int64_t step, Range sequences, uint64_t seed) {
    return sample(data, part, step, sequences, 2, seed).x.ids;
  };
  const std::vector<int32_t> whole = x(Part::train, 5, {0, 12}, 1);
  CHECK(whole == x(Part::train, 5, {0, 12}, 1));
  // Any division over data-parallel ranks draws the same sequences.
  for (const int64_t ranks : {2, 3, 4}) {
    std::vector<int32_t> parts;
    for (int64_t rank = 0; rank < ranks; ++rank) {
      const std::vector<int32_t> part =
          x(Part::train, 5, {rank * 12 / ranks, (rank + 1) * 12 / ranks}, 1);
      parts.insert(parts.end(), part.begin(), part.end());
    }
    CHECK(parts == whole);
  }
  std::set<int32_t> starts;  // 60 of a million: two are equal with probability 0.002, for one seed
  for (size_t i = 0; i < 12; ++i) {
    starts.insert(whole[2 * i]);
    starts.insert(x(Part::train, 5, {0, 12}, 2)[2 * i]);
    starts.insert(x(Part::train, 6, {0, 12}, 1)[2 * i]);
    starts.insert(x(Part::val, 5, {0, 12}, 1)[2 * i]);
    starts.insert(x(Part::train, 5, {12, 24}, 1)[2 * i]);
  }
  CHECK(starts.size() == 60);
}

TEST_CASE("batches: every start is drawn, the first and the last too, about equally often") {
  const Dataset data = counting_dataset(13, 13);  // 13 - 3 = 10 starts
  std::map<int32_t, int> drawn;
  for (const int32_t first : sample(data, Part::train, 0, {0, 10'000}, 3, 7).x.ids) ++drawn[first];
  // Ids 0 and 11 begin or end one start's sequence only. Of 10^4 draws, 1000 are expected each,
  // with a standard deviation of 30: six of them are 180.
  CHECK(drawn.size() == 12);
  CHECK(std::abs(drawn[0] - 1000) < 180);
  CHECK(std::abs(drawn[11] - 1000) < 180);
  CHECK(std::abs(drawn[5] - 3000) < 6 * 46);  // three starts' sequences hold it: sqrt(10^4 .3 .7)
}

TEST_CASE("batches: a part of one block and its next token has one start") {
  const Dataset data = counting_dataset(5, 5);
  CHECK(sample(data, Part::val, 9, {0, 1}, 4, 3).x.ids == std::vector<int32_t>{0, 1, 2, 3});
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
