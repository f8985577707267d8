// Files of token ids, of any width, with nanoGPT's meta.pkl or none; what else they may be is
// named.
#include <algorithm>

#include "checkpoint_pickles.h"
#include "model/tokenizers/load.h"
#include "token_lists.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

std::string bin(const std::vector<uint16_t>& ids) { return raw(ids); }

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

}  // namespace

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
