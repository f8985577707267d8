// Two thousand mutations of each file that tokenizers and data sets come from: each is read, or
// refused as a bad file of a kind; nothing else happens.
#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>

#include "checkpoint_pickles.h"
#include "model/tokenizers/nanogpt_meta.h"
#include "model/tokenizers/tokenizer_config.h"
#include "model/tokenizers/tokenizer_json.h"
#include "model/training/dataset.h"
#include "tokenizer_vocabulary.h"

namespace tplab {
namespace {

using namespace testing;

// One to four small changes: a bit, a byte, a stretch left out, doubled or moved, the end cut off.
std::string mutated(std::string bytes, std::mt19937& random) {
  const auto below = [&](size_t n) { return n == 0 ? 0 : random() % n; };
  for (size_t changes = 1 + below(4); changes > 0 && !bytes.empty(); --changes) {
    const size_t at = below(bytes.size());
    const size_t length = 1 + below(std::min<size_t>(64, bytes.size() - at));
    const std::string part = bytes.substr(at, length);
    switch (below(7)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(below(256));
        break;
      case 2:
        bytes.erase(at, length);
        break;
      case 3:
        bytes.insert(at, part);
        break;
      case 4:
        bytes.insert(below(bytes.size()), part);
        break;
      case 5:
        bytes[at] = "0123456789\"{}[],:\xff\0 "[below(20)];
        break;
      default:
        bytes.resize(at);
        break;
    }
  }
  return bytes;
}

// How many of 2000 were read; each of the others must be refused as a bad file.
int read_of_2000(const std::string& good, const std::function<void(const std::string&)>& read) {
  std::mt19937 random(20261126);
  read(good);
  int n_read = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string bytes = mutated(good, random);
    try {
      read(bytes);
      ++n_read;
    } catch (const Error& error) {
      const bool is_expected =
          error.kind() == ErrorKind::bad_file || error.kind() == ErrorKind::unavailable;
      CAPTURE(i, error.what());
      CHECK(is_expected);
    }
  }
  return n_read;
}

constexpr const char* kText = "the tea<|endoftext|>\n 12 \u00e9\U0001F600";

void encode(WrittenBpe written) {
  const BpeTokenizer tokenizer(make_tables(std::move(written)), "mutated");
  try {
    (void)tokenizer.decode(tokenizer.encode(kText));
  } catch (const Error& error) {  // a byte that the vocabulary lost
    CHECK(error.kind() == ErrorKind::usage);
  }
}

const testing::BpeFiles& files() {
  static const testing::BpeFiles made = bpe_files({{"\u0120", "t"}, {"t", "h"}, {"th", "e"}});
  return made;
}

TEST_CASE("mutations: vocab.json and merges.txt", "[tokenizer][slow]") {
  CHECK(read_of_2000(files().vocab, [](const std::string& bytes) {
          encode(read_bpe(bytes, "vocab.json", files().merges, "merges.txt"));
        }) > 0);
  CHECK(read_of_2000(files().merges, [](const std::string& bytes) {
          encode(read_bpe(files().vocab, "vocab.json", bytes, "merges.txt"));
        }) > 0);
}

TEST_CASE("mutations: tokenizer.json", "[tokenizer][slow]") {
  nlohmann::json file = nlohmann::json::parse(R"({
    "added_tokens": [{"id": 259, "content": "<|endoftext|>", "special": true, "lstrip": true},
                     {"id": 260, "content": "<U>", "single_word": true}],
    "normalizer": null,
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Digits", "individual_digits": true},
      {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}]},
    "model": {"type": "BPE", "ignore_merges": true,
              "merges": [["\u0120", "t"], ["t", "h"], "th e"]}})");
  file["model"]["vocab"] = nlohmann::json::parse(files().vocab);
  CHECK(read_of_2000(file.dump(), [](const std::string& bytes) {
          encode(read_tokenizer_json(bytes, "tokenizer.json"));
        }) > 0);
}

TEST_CASE("mutations: added_tokens.json and tokenizer_config.json", "[tokenizer][slow]") {
  const auto with = [](auto reader) {
    return [reader](const std::string& bytes) {
      WrittenBpe written = read_bpe(files().vocab, "vocab.json", files().merges, "merges.txt");
      reader(bytes, "beside.json", written);
      encode(std::move(written));
    };
  };
  CHECK(read_of_2000(R"({"<U>": 260, "<S>": 261, "<tool>": 262, "the end": 263})",
                     with(read_added_tokens)) > 0);
  CHECK(read_of_2000(R"({"added_tokens_decoder": {"260": {"content": "<U>", "lstrip": true}},
                         "bos_token": "<U>", "eos_token": {"content": "<|endoftext|>"},
                         "additional_special_tokens": ["the"], "add_prefix_space": true})",
                     with(read_tokenizer_config)) > 0);
}

TEST_CASE("mutations: meta.pkl", "[tokenizer][slow]") {
  const std::string itos = "}(" + p_int(0) + p_text("x") + p_int(1) + p_text("\u00e9") + "u";
  const std::string stoi = p_dict({{"x", p_int(0)}, {"\u00e9", p_int(1)}});
  const std::string good =
      p_pickle(p_dict({{"vocab_size", p_int(2)}, {"itos", itos}, {"stoi", stoi}}));
  CHECK(read_of_2000(good, [](const std::string& bytes) {
          const NanogptMeta meta = read_nanogpt_meta(*bytes_in_memory(bytes, "meta.pkl"));
          CHECK(meta.vocab_size >= static_cast<int64_t>(meta.characters.size()));
          CHECK(meta.vocab_size > 0);
        }) > 0);
}

TEST_CASE("mutations: train.bin and texts", "[tokenizer][slow]") {
  for (const size_t bytes_of_an_id : {1, 2, 4, 8}) {
    std::string good;
    for (int i = 0; i < 200; ++i) {
      good += static_cast<char>(1 + i * 37 % 100);
      good.append(bytes_of_an_id - 1, '\0');
    }
    CHECK(read_of_2000(good, [](const std::string& bytes) {
            const TokenList ids(bytes_in_memory(bytes, "train.bin"), 200);
            std::vector<int32_t> all(static_cast<size_t>(ids.size()));
            ids.read(0, ids.size(), all.data());
            CHECK(std::all_of(all.begin(), all.end(),
                              [](int32_t id) { return id >= 0 && id < 200; }));
          }) > 0);
  }
  CHECK(read_of_2000(std::string("\xEF\xBB\xBF") + kText + kText + kText,
                     [](const std::string& bytes) { dataset_of_text(bytes, "a.txt", {}); }) > 0);
}

}  // namespace
}  // namespace tplab
