// tokenizer.json: read as the tokenizers library reads it, or refused by the part that is not
// known.
#include "model/tokenizers/tokenizer_json.h"

#include <nlohmann/json.hpp>

#include "checkpoint_files.h"
#include "model/tokenizers/load.h"
#include "tokenizer_vocabulary.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
using nlohmann::json;
using Ids = std::vector<int>;

// Byte-level BPE as transformers 5 writes it: the 256 bytes, " t", "th", "the", and <|endoftext|>.
json small_json() {
  const testing::BpeFiles files = bpe_files({{"\u0120", "t"}, {"t", "h"}, {"th", "e"}});
  json file = json::parse(R"({
    "added_tokens": [{"id": 259, "content": "<|endoftext|>", "special": true}],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "post_processor": null,
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "ignore_merges": false,
              "merges": [["\u0120", "t"], ["t", "h"], ["th", "e"]]}})");
  file["model"]["vocab"] = json::parse(files.vocab);
  return file;
}

BpeTokenizer made(const json& file) {
  return {make_tables(read_tokenizer_json(file.dump(), "tokenizer.json")), "in memory"};
}

std::string refused(const json& file, ErrorKind kind = ErrorKind::bad_file) {
  try {
    made(file);
  } catch (const Error& error) {
    return error.kind() == kind ? error.what() : "of another kind";
  }
  return "no error";
}

json with_added(const json& token) {
  json file = small_json();
  file["added_tokens"].push_back(token);
  return file;
}

TEST_CASE("tokenizer.json: the same ids as vocab.json and merges.txt give", "[tokenizer]") {
  const BpeTokenizer one = made(small_json());
  const BpeTokenizer two = bpe(bpe_files({{"\u0120", "t"}, {"t", "h"}, {"th", "e"}}));
  for (const char* text : {"", "the the", " the<|endoftext|>the", "na\u00efve \U0001F600\n\n"}) {
    CHECK(one.encode(text) == two.encode(text));
    CHECK(one.decode(one.encode(text)) == text);
  }
  CHECK(one.end_of_text() == 259);
  CHECK(one.notes().empty());
  json file = small_json();
  file["model"]["merges"] =
      json::array({"\u0120 t", "t h", "th e"});  // as it was written before 2024
  file["model"].erase("type");
  CHECK(made(file).encode("the the") == one.encode("the the"));
}

TEST_CASE("tokenizer.json: a word that is a token is that token where merges are ignored",
          "[tokenizer]") {
  json file = small_json();
  file["model"]["vocab"]["tea"] = 260;
  CHECK(made(file).encode("tea") == Ids{'t', 'e', 'a'});
  file["model"]["ignore_merges"] = true;
  CHECK(made(file).encode("tea") == Ids{260});
}

TEST_CASE("tokenizer.json: a stretch of text gets a space in front where it asks for one",
          "[tokenizer]") {
  json file = small_json();
  file["pre_tokenizer"]["add_prefix_space"] = true;
  const BpeTokenizer tokenizer = made(file);
  CHECK(tokenizer.encode("the") == Ids{256, 'h', 'e'});
  CHECK(tokenizer.encode(" the<|endoftext|>the") == Ids{256, 'h', 'e', 259, 256, 'h', 'e'});
  CHECK(tokenizer.encode("").empty());
}

TEST_CASE("tokenizer.json: added tokens are taken out of a text before it is cut into words",
          "[tokenizer]") {
  const auto ids = [](const json& token, const std::string& text) {
    return made(with_added(token)).encode(text);
  };
  const json user = {{"id", 260}, {"content", "<U>"}};
  const auto with = [&](const char* key) {
    json token = user;
    token[key] = true;
    return token;
  };
  CHECK(ids(user, "the<U>the <U> the") == Ids{258, 260, 258, ' ', 260, 256, 'h', 'e'});
  CHECK(ids(with("lstrip"), "a \n<U> b") == Ids{'a', 260, ' ', 'b'});
  CHECK(ids(with("rstrip"), "a <U> \nb") == Ids{'a', ' ', 260, 'b'});
  CHECK(ids(with("single_word"), "a<U> <U>, <U>\u00e9") ==
        Ids{'a', '<', 'U', '>', ' ', 260, ',', ' ', '<', 'U', '>', 0xC3, 0xA9});
  // The longest of those that begin at one place, and not the later ones it covers.
  json file = with_added(user);
  file["added_tokens"].push_back({{"id", 261}, {"content", "<U><U>"}});
  CHECK(made(file).encode("<U><U><U>") == Ids{261, 260});
  // Those of the text as it is come before those of the normalized text.
  file = with_added({{"id", 260}, {"content", "xy"}, {"normalized", true}});
  file["added_tokens"].push_back({{"id", 261}, {"content", "yz"}, {"normalized", false}});
  CHECK(made(file).encode("xyz") == Ids{'x', 261});
  CHECK(made(file).encode("xyz", SpecialTokens::as_text) == Ids{'x', 'y', 'z'});
}

TEST_CASE("tokenizer.json: what is not read is refused by its name", "[tokenizer]") {
  const auto unread = [](const char* part, const json& value) {
    json file = small_json();
    file[json::json_pointer(part)] = value;
    return refused(file, ErrorKind::unavailable);
  };
  CHECK_THAT(unread("/normalizer", {{"type", "NFKC"}}), Contains("the normalizer is 'NFKC'"));
  CHECK_THAT(unread("/pre_tokenizer", {{"type", "Metaspace"}}),
             Contains("the pre-tokenizer is 'Metaspace'") && Contains("give token ids"));
  CHECK_THAT(unread("/pre_tokenizer", nullptr), Contains("the pre-tokenizer is none"));
  CHECK_THAT(unread("/model/type", "Unigram"), Contains("the model is 'Unigram'"));
  CHECK_THAT(unread("/model/type", "WordPiece"), Contains("the model is 'WordPiece'"));
  CHECK_THAT(unread("/model/end_of_word_suffix", "</w>"), Contains("with end_of_word_suffix"));
  CHECK_THAT(unread("/pre_tokenizer", {{"type", "Split"},
                                       {"behavior", "Isolated"},
                                       {"invert", false},
                                       {"pattern", {{"Regex", "(a+)+b"}}}}),
             Contains("'Split' by '(a+)+b'"));
}

TEST_CASE("tokenizer.json: a damaged one is refused", "[tokenizer]") {
  const std::string whole = small_json().dump();
  CHECK_THROWS_WITH(read_tokenizer_json(whole.substr(0, whole.size() / 2), "tokenizer.json"),
                    Contains("tokenizer.json: not JSON"));
  const auto damaged = [](const char* part, const json& value) {
    json file = small_json();
    file[json::json_pointer(part)] = value;
    return refused(file);
  };
  CHECK_THAT(damaged("/model/vocab", json::array()), Contains("no vocab and merges"));
  CHECK_THAT(damaged("/model/merges", nullptr), Contains("no vocab and merges"));
  CHECK_THAT(damaged("/model/merges/1", {"t"}), Contains("merge 2: not two tokens"));
  CHECK_THAT(damaged("/model/merges/1", {"t", "x"}), Contains("merge 2: the vocabulary has no"));
  CHECK_THAT(damaged("/added_tokens", 7), Contains("added_tokens is no list"));
  CHECK_THAT(damaged("/added_tokens/0/content", ""), Contains("no id or no content"));
  CHECK_THAT(damaged("/added_tokens/0/id", -1), Contains("no id or no content"));
  CHECK_THAT(damaged("/added_tokens/0/id", 7), Contains("has the id 7, and 259"));
  CHECK_THAT(refused(with_added({{"id", 65}, {"content", "<U>"}})),
             Contains("'<U>' has the id 65, which is the token 'A'"));
  CHECK_THAT(refused(with_added({{"id", 1 << 20}, {"content", "<U>"}})), Contains("too large"));
}

TEST_CASE("tokenizer.json: a template that puts tokens around a text is said not to be used",
          "[tokenizer]") {
  json file = small_json();
  file["post_processor"] = json::parse(R"({"type": "TemplateProcessing", "single": [
      {"SpecialToken": {"id": "<|endoftext|>"}}, {"Sequence": {"id": "A"}}]})");
  const BpeTokenizer tokenizer = made(file);
  REQUIRE(tokenizer.notes().size() == 1);
  CHECK_THAT(tokenizer.notes()[0], Contains("puts '<|endoftext|>' around a text"));
}

TEST_CASE("tokenizer folder: added_tokens.json and both configurations are read", "[tokenizer]") {
  const testing::BpeFiles files = bpe_files({{"t", "h"}, {"th", "e"}});
  const TempFolder folder;
  folder.write("vocab.json", files.vocab);
  folder.write("merges.txt", files.merges);
  const auto ids = [&](const std::string& text) {
    return load_tokenizer(folder.path())->encode(text);
  };
  CHECK(ids("<U>the").size() == 4);
  folder.write("added_tokens.json", R"({"<U>": 259, "<S>": 260})");
  CHECK(ids("<U>the<S>") == Ids{259, 257, 260});
  folder.write("tokenizer_config.json",
               R"({"added_tokens_decoder": {"261": {"content": "<X>", "lstrip": true}},
                   "eos_token": {"content": "<S>"}, "bos_token": "<U>", "pad_token": "<none>",
                   "add_bos_token": true, "add_prefix_space": true})");
  folder.write("special_tokens_map.json", R"({"additional_special_tokens": ["the"]})");
  CHECK(ids("x <X>the") == Ids{' ', 'x', 261, 257});
  const auto tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer->end_of_text() == 260);
  CHECK(tokenizer->start_of_text() == 259);
  CHECK(tokenizer->vocab_size() == 262);
  REQUIRE(tokenizer->notes().size() == 2);
  CHECK_THAT(tokenizer->notes()[0], Contains("has add_bos_token"));
  CHECK_THAT(tokenizer->notes()[1], Contains("its special token '<none>' has no id"));
  folder.write("added_tokens.json", R"({"<U>": 65})");
  CHECK_THAT(
      refusal([&] { load_tokenizer(folder.path()); }),
      Contains("added_tokens.json: the added token '<U>' has the id 65, which is the token 'A'"));
  folder.write("added_tokens.json", R"({"the": 70})");
  CHECK_THAT(
      refusal([&] { load_tokenizer(folder.path()); }),
      Contains(
          "added_tokens.json: the added token 'the' has the id 70, and 257 in the vocabulary"));
  folder.write("added_tokens.json", R"({"<X>": 259})");
  CHECK_THAT(refusal([&] { load_tokenizer(folder.path()); }),
             Contains("added_tokens.json: the added token '<X>' has the id 259, and 261 in ") &&
                 Contains("tokenizer_config.json"));
}

TEST_CASE("tokenizer folder: one of a kind that is not read is named", "[tokenizer]") {
  const TempFolder folder;
  folder.write("tokenizer.model", "SentencePiece");
  try {
    load_tokenizer(folder.path());
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::unavailable);
    CHECK_THAT(error.what(), Contains("tokenizer.model"));
  }
}

// What the tokenizers library gives: ids and text of 120 texts each.
TEST_CASE("tokenizer.json: 120 texts of a Llama 3 kind of tokenizer have the library's ids",
          "[tokenizer]") {
  if (!has_shared_data("tokenizers/llama3-style/tokenizer.json")) return;
  const auto tokenizer = load_tokenizer(shared_data("tokenizers/llama3-style"));
  std::ifstream vectors(shared_data("tokenizers/llama3-style/vectors.jsonl"));
  int lines = 0;
  for (std::string line; std::getline(vectors, line); ++lines) {
    const json vector = json::parse(line);
    const auto text = vector["text"].get<std::string>();
    CAPTURE(text);
    CHECK(tokenizer->encode(text) == vector["ids"].get<Ids>());
    CHECK(tokenizer->decode(vector["ids"].get<Ids>()) == vector.value("decoded", text));
  }
  CHECK(lines == 120);
}

TEST_CASE("tokenizer.json: of the other kinds, what is not read is named", "[tokenizer]") {
  if (!has_shared_data("tokenizers/qwen2-style/tokenizer.json")) return;
  const auto said = [](const std::string& name) {
    try {
      load_tokenizer(shared_data("tokenizers/" + name));
    } catch (const Error& error) {
      return error.kind() == ErrorKind::unavailable ? error.problem() : "of another kind";
    }
    return std::string("no error");
  };
  CHECK_THAT(said("qwen2-style"), Contains("the normalizer is 'NFC'"));
  CHECK_THAT(said("llama2-style"), Contains("the normalizer is 'Prepend'"));
  CHECK_THAT(said("llama2-metaspace"), Contains("the pre-tokenizer is 'Metaspace'"));
}

TEST_CASE("tokenizer cases: the ids that transformers and tokenizers give", "[tokenizer]") {
  if (!has_shared_data("cases/right_results.json")) return;
  const json right = json::parse(file_bytes(shared_data("cases/right_results.json")));
  const auto ids = [](const char* folder, const std::string& text) {
    return load_tokenizer(shared_data(std::string("cases/") + folder))->encode(text);
  };
  CHECK(ids("02-tokenizer-json-only", "the quick brown fox") ==
        right["ids of \"the quick brown fox\""].get<Ids>());
  CHECK(ids("03-added-tokens", "<USER>the dog") == Ids{320, 258, 286});
  CHECK(ids("04-endoftext-in-prompt", "<|endoftext|>the") == Ids{0, 258});
  CHECK(ids("10-partial-byte-alphabet", "the quick dog") ==
        right["10: ids of \"the quick dog\""].get<Ids>());
  CHECK(ids("15-plain-special-tokens", "the dog") == Ids{260, 288});
  CHECK_THROWS_WITH(ids("10-partial-byte-alphabet", "the Quick dog"), Contains("'Q', character 5"));
}

}  // namespace
}  // namespace tplab
