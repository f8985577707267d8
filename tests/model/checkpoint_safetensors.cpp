#include "checkpoint_files.h"
#include "model/files/safetensors.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

std::string open_refused(const std::string& header, size_t data_bytes) {
  return refusal(
      [&] { SafetensorsFile(in_memory(safetensors(header, std::string(data_bytes, 'x')))); });
}

std::string one_tensor(const std::string& dtype, const std::string& shape,
                       const std::string& offsets) {
  return R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

}  // namespace

TEST_CASE("safetensors: tensors of every kind are listed in the order of their data and read") {
  const std::string header = R"({"b":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},)"
                             R"("__metadata__":{"source":"a test"},)"
                             R"("none":{"dtype":"F32","shape":[0,3],"data_offsets":[16,16]},)"
                             R"("a":{"dtype":"F64","shape":[1,2],"data_offsets":[16,32]},)"
                             R"("s":{"dtype":"F32","shape":[],"data_offsets":[32,36]}}   )";
  const std::string data =
      raw(std::vector<int64_t>{-5, INT64_MAX}) + raw(std::vector<double>{0.1, -2e300}) + raw(1.5f);
  const SafetensorsFile file(in_memory(safetensors(header, data)));
  REQUIRE(file.tensors().size() == 4);
  CHECK(file.tensors()[0].name == "b");
  CHECK(file.tensors()[1].name == "none");
  CHECK(file.tensors()[2].name == "a");
  CHECK(file.tensors()[2].shape == Shape{1, 2});
  CHECK(file.tensors()[3].count == 1);
  CHECK(file.metadata().at("source") == "a test");
  CHECK(file.read_integers("b") == std::vector<int64_t>{-5, INT64_MAX});
  CHECK(file.read_doubles("a") == std::vector<double>{0.1, -2e300});
  CHECK(file.read_doubles("s") == std::vector<double>{1.5});
  CHECK(file.read_doubles("none").empty());
  CHECK(file.read_doubles("b")[0] == -5);
  CHECK(file.find("c") == nullptr);
  CHECK_THAT(refusal([&] { file.at("c"); }), Contains("has no tensor 'c'"));
  CHECK_THAT(refusal([&] { file.read_integers("a"); }), Contains("f64 values, not integers"));
}

TEST_CASE("safetensors: a header's length past the end of the file is refused") {
  CHECK_THAT(refusal([] { SafetensorsFile(in_memory("")); }), Contains("is empty"));
  CHECK_THAT(refusal([] { SafetensorsFile(in_memory("1234567")); }), Contains("has 7 bytes"));
  for (const uint64_t length : {uint64_t{1} << 40, UINT64_MAX, UINT64_MAX - 7}) {
    CHECK_THAT(refusal([&] { SafetensorsFile(in_memory(raw(length) + "{}")); }),
               Contains("past the end of the file"));
  }
  for (const char* begin : {"", "{", "{}"}) {
    CHECK_THAT(refusal([&] { SafetensorsFile(in_memory(raw(uint64_t{0x80}) + begin)); }),
               Contains("is truncated"));
  }
  CHECK_NOTHROW(SafetensorsFile(in_memory(raw(uint64_t{2}) + "{}")));
}

TEST_CASE("safetensors: offsets past the end, backwards, overlapping or gappy are refused") {
  CHECK_NOTHROW(
      SafetensorsFile(in_memory(safetensors(one_tensor("F32", "[2]", "[0,8]"), "12345678"))));
  CHECK_THAT(open_refused(one_tensor("F32", "[2]", "[0,8]"), 7),
             Contains("past the end of the data"));
  CHECK_THAT(open_refused(one_tensor("F32", "[2]", "[0,8]"), 9), Contains("1 bytes at the end"));
  CHECK_THAT(open_refused(one_tensor("F32", "[2]", "[8,0]"), 8), Contains("rising"));
  CHECK_THAT(open_refused(one_tensor("F32", "[2]", "[-8,0]"), 8), Contains("rising"));
  CHECK_THAT(open_refused(one_tensor("F32", "[2]", "[0,8.0]"), 8), Contains("rising"));
  CHECK_THAT(open_refused(one_tensor("F32", "[2]", "[0]"), 8), Contains("rising"));
  CHECK_THAT(open_refused(one_tensor("F32", "[2]", "[0,18446744073709551615]"), 8),
             Contains("rising"));
  CHECK_THAT(open_refused(one_tensor("F32", "[2]", "[4,12]"), 12), Contains("after the end"));
  const auto two = [](const std::string& first, const std::string& second) {
    return R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + first +
           R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)" + second + "}}";
  };
  CHECK_NOTHROW(
      SafetensorsFile(in_memory(safetensors(two("[8,16]", "[0,8]"), std::string(16, '1')))));
  CHECK_THAT(open_refused(two("[0,8]", "[4,12]"), 12), Contains("'b' begins at byte 4"));
  CHECK_THAT(open_refused(two("[0,8]", "[0,8]"), 8), Contains("before the end"));
  CHECK_THAT(open_refused(two("[0,8]", "[12,20]"), 20), Contains("after the end"));
}

TEST_CASE("safetensors: a tensor may begin at any byte, and have no values") {
  // A header of 227 bytes, so that nothing is at a multiple of anything.
  const std::string header = R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                             R"("b":{"dtype":"F64","shape":[1,2],"data_offsets":[3,19]},)"
                             R"("e":{"dtype":"F64","shape":[0,7],"data_offsets":[19,19]},)"
                             R"("c":{"dtype":"I32","shape":[1],"data_offsets":[19,23]},)"
                             R"("__metadata__":null} )"
                             "\n ";
  const std::string data = "abc" + raw(std::vector<double>{0.1, -7.0}) + raw(int32_t{-5});
  const SafetensorsFile file(in_memory(safetensors(header, data)));
  CHECK(file.read_doubles("b") == std::vector<double>{0.1, -7.0});
  CHECK(file.read_integers("c") == std::vector<int64_t>{-5});
  CHECK(file.read_doubles("e").empty());
  CHECK(file.metadata().empty());
}

TEST_CASE("safetensors: a shape that does not match its bytes, or overflows, is refused") {
  CHECK_THAT(open_refused(one_tensor("F32", "[3]", "[0,8]"), 8), Contains("shape [3] of f32"));
  CHECK_THAT(open_refused(one_tensor("F64", "[2]", "[0,8]"), 8), Contains("shape [2] of f64"));
  CHECK_THAT(open_refused(one_tensor("F32", "[]", "[0,8]"), 8), Contains("shape [] of f32"));
  // 2^62 * 4 + 2 values overflow to 2 in 64 bits.
  CHECK_THAT(open_refused(one_tensor("F32", "[4611686018427387904,4]", "[0,0]"), 0),
             Contains("does not have the 0 bytes"));
  CHECK_THAT(open_refused(one_tensor("F32", "[4611686018427387906]", "[0,8]"), 8),
             Contains("does not have the 8 bytes"));
  CHECK_THAT(open_refused(one_tensor("F32", "[-2]", "[0,8]"), 8), Contains("whole numbers"));
  CHECK_THAT(open_refused(one_tensor("F32", "[2.0]", "[0,8]"), 8), Contains("whole numbers"));
  CHECK_THAT(open_refused(one_tensor("F32", "2", "[0,8]"), 8), Contains("whole numbers"));
  std::string ones = "[1";
  for (int i = 0; i < 40; ++i) ones += ",1";
  CHECK_THAT(open_refused(one_tensor("U8", ones + "]", "[0,1]"), 1), Contains("at most 8"));
}

TEST_CASE("safetensors: an unknown dtype is refused by name") {
  CHECK_THAT(open_refused(one_tensor("F33", "[2]", "[0,8]"), 8),
             Contains("'w': unknown dtype 'F33'"));
  CHECK_THAT(open_refused(R"({"w":{"shape":[2],"data_offsets":[0,8]}})", 8),
             Contains("unknown dtype ''"));
  CHECK_THAT(open_refused(R"({"w":{"dtype":4,"shape":[2],"data_offsets":[0,8]}})", 8),
             Contains("unknown dtype"));
}

TEST_CASE(
    "safetensors: a header that is no JSON object, is deep or names a tensor twice is refused") {
  CHECK_THAT(open_refused("", 0), Contains("not JSON"));
  CHECK_THAT(open_refused("{", 0), Contains("not JSON"));
  CHECK_THAT(open_refused("[]", 0), Contains("not a JSON object"));
  CHECK_THAT(open_refused(R"({"w":7})", 0), Contains("not an object"));
  CHECK_THAT(open_refused(R"({"__metadata__":{"n":7}})", 0), Contains("__metadata__"));
  CHECK_THAT(open_refused("{\"a\xff\":{}}", 0), Contains("not JSON"));
  CHECK_THAT(open_refused(R"({"w":1e999})", 0), Contains("out of range"));
  CHECK_THAT(open_refused(R"({"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
                          R"("w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                          0),
             Contains("two values named 'w'"));
  CHECK_THAT(open_refused(R"({"w":)" + std::string(1'000'000, '['), 0),
             Contains("nested more than 8"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  CHECK_THAT(open_refused(objects, 0), Contains("nested more than 8"));
}

TEST_CASE("safetensors: names from a file are shown without control characters and cut") {
  const std::string name = "\\u001b[31m" + std::string(5000, 'n');
  const std::string problem = open_refused("{\"" + name + "\":7}", 0);
  CHECK_THAT(problem, Contains("'\\x1b[31mnnn") && Contains("n...'"));
  CHECK(problem.size() < 300);
}

TEST_CASE("safetensors: nanoGPT's golden file gives tokens, logits and loss") {
  if (!has_shared_data("nanogpt-shakespeare-char/golden.safetensors")) return;
  const SafetensorsFile file(shared_data("nanogpt-shakespeare-char/golden.safetensors"));
  CHECK(file.at("x").shape == Shape{6, 4, 64});
  CHECK(file.at("x").type == StoredType::i64);
  const std::vector<int64_t> tokens = file.read_integers("x");
  CHECK(tokens.size() == 6 * 4 * 64);
  for (const int64_t token : tokens) REQUIRE((token >= 0 && token < 65));
  CHECK(file.at("logits").type == StoredType::f64);
  CHECK(file.read_doubles("logits").size() == 4 * 64 * 65);
  // The metadata gives the first training loss of other batches; this one is of the same kind.
  const std::vector<double> loss = file.read_doubles("loss");
  REQUIRE(loss.size() == 1);
  CHECK((loss[0] > 1.5 && loss[0] < 2.5));
}
