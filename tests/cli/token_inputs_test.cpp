// Prompts, texts and token files as people have them: special tokens, other dtypes, no characters.
#include <catch2/catch.hpp>

#include "train_runs.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
using nlohmann::json;

std::string joined(const std::string& a, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += a;
  return all;
}

TEST_CASE("generate: <|endoftext|> in a prompt is that token, or its characters if asked for") {
  const auto ids = [](const Arguments& more) {
    return tplab(Arguments{"generate", "--checkpoint", fixture("gpt2-tiny"), "--max-new", "0",
                           "--json", "--prompt", "<|endoftext|>the"} +
                 more)
        .json()["prompt_ids"];
  };
  const json with = ids({});
  CHECK(with[0] == 263);
  const json without = ids({"--no-special"});
  CHECK(without.size() > with.size());
  CHECK(without[0] != 263);
}

TEST_CASE("generate: a mark of UTF-8 before a prompt from stdin is left out, and said to be") {
  const Ran ran = tplab(
      {"generate", "--checkpoint", fixture("nanogpt-tiny"), "--prompt", "-", "--max-new", "0"},
      {.input = "\xEF\xBB\xBFHi"});
  CHECK(ran.exit_code == 0);
  CHECK(ran.out == "Hi\n");
  CHECK_THAT(ran.err, Contains("note: stdin: left out the mark of UTF-8"));
}

TEST_CASE(
    "an option that names a file or ids is not empty, as a variable never set would make it") {
  const TemporaryFolder folder;
  const auto refused = [](const Arguments& arguments, const std::string& option) {
    const Ran ran = tplab(arguments + Arguments{option, ""});
    CAPTURE(option, ran.err);
    CHECK(ran.exit_code == 2);
    CHECK_THAT(ran.err, Contains(option) && Contains("is empty"));
  };
  for (const char* option : {"--text", "--data", "--tokenizer", "--checkpoint"})
    refused(tiny(folder / "run", {"--steps", "2"}), option);
  const Arguments generate = {"generate", "--checkpoint", fixture("nanogpt-tiny")};
  for (const char* option : {"--tokens", "--tokenizer"}) refused(generate, option);
  refused(generate, "--prompt");
  refused({"tokenize", "the"}, "--tokenizer");
  for (const char* option : {"--out", "--config"}) {
    refused({"draw", "block", "--preset", "nano-cpu"}, option);
    refused({"trace", "--preset", "nano-cpu"}, option);
    refused({"explore"}, option);
    refused({"export", "--preset", "nano-cpu"}, option);
  }
  refused({"export", "--checkpoint", fixture("nanogpt-tiny"), "-o", folder / "e"}, "--tokenizer");
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("train: stories between <|endoftext|> are learned with one token each, and counted") {
  const TemporaryFolder folder;
  write_file(folder / "stories.txt", joined("the end of the tale\n<|endoftext|>\n", 40));
  const Arguments options = {
      "--text", folder / "stories.txt", "--tokenizer", fixture("gpt2-tiny"), "--steps",
      "2",      "--no-sample"};
  const Ran ran = trained(tiny(folder / "run", options));
  CHECK_THAT(ran.err, Contains("note: special tokens in the text: 40 <|endoftext|>"));
  const Ran literal = trained(tiny(folder / "other", options + Arguments{"--no-special"}));
  CHECK_THAT(literal.err, !Contains("note:"));
}

TEST_CASE("train: token files of 32 bits are read as such, and said to be") {
  const TemporaryFolder folder;
  std::string ids;
  for (int i = 0; i < 500; ++i)
    ids += std::string(1, static_cast<char>(1 + i * 37 % 90)) + std::string(3, '\0');
  std::filesystem::create_directory(folder / "data");
  write_file(folder / "data/train.bin", ids);
  write_file(folder / "data/val.bin", ids);
  const Arguments options = {"--data", folder / "data", "--steps", "2", "--no-sample"};
  const Ran ran = trained(tiny(folder / "run", options));
  CHECK_THAT(ran.err, Contains("500 tokens to learn and 500 to test") &&
                          Contains("train.bin: read as uint32"));
  const Ran said = trained(tiny(folder / "other", options + Arguments{"--data-dtype", "uint16"}));
  CHECK_THAT(said.err, Contains("1000 tokens to learn and 1000 to test") && !Contains("note:"));
  const Ran wrong = tplab(tiny(folder / "third", options + Arguments{"--data-dtype", "float"}));
  CHECK(wrong.exit_code == 2);
  CHECK_THAT(wrong.err, Contains("one of auto, uint8, uint16, uint32, int64"));
}

// {"vocab_size": 150}, as pickle.dump writes it.
const std::string kSizeOnly = "\x80\x02}X" + std::string("\x0a\0\0\0", 4) + "vocab_sizeK\x96s.";

TEST_CASE("train: tokens that nobody names are learned, and a sample of them is ids") {
  const TemporaryFolder folder;
  std::string ids;
  for (int i = 0; i < 500; ++i) ids += {static_cast<char>(i * 37 % 150), '\0'};
  std::filesystem::create_directory(folder / "data");
  write_file(folder / "data/train.bin", ids);
  write_file(folder / "data/val.bin", ids);
  write_file(folder / "data/meta.pkl", kSizeOnly);
  const Ran ran = trained(tiny(folder / "run", {"--data", folder / "data", "--steps", "2"}));
  CHECK_THAT(ran.err, Contains("a vocabulary of 150") && Contains("not listed"));
  const size_t sample = ran.out.find("a sample (token ids");
  REQUIRE(sample != std::string::npos);
  const std::string shown = ran.out.substr(ran.out.find('\n', sample) + 1);
  CHECK(shown.find_first_not_of("0123456789 \n") == std::string::npos);
  CHECK(std::count(shown.begin(), shown.end(), ' ') == 199);
  const Ran more = tplab({"generate", "--checkpoint", folder / "run", "--tokens", "1,149",
                          "--max-new", "4", "--json"});
  CHECK(more.exit_code == 0);
  CHECK(more.json()["ids"].size() == 4);
  const Ran prompt = tplab({"generate", "--checkpoint", folder / "run", "--prompt", "a"});
  CHECK(prompt.exit_code == 2);
  CHECK_THAT(prompt.err, Contains("--tokens 1,2,3"));
}

TEST_CASE("cases: prompts, texts and token files as they were reported") {
  const std::string cases = shared_data("cases");
  if (cases.empty()) return;
  const json right = json::parse(file_text(cases + "/right_results.json"));
  const auto generated = [&](const std::string& folder, const std::string& prompt) {
    return tplab({"generate", "--checkpoint", cases + "/" + folder, "--prompt", prompt, "--greedy",
                  "--max-new", "6", "--json"})
        .json();
  };
  const json two = generated("02-tokenizer-json-only", "the quick brown fox");
  CHECK(two["prompt_ids"] == right["ids of \"the quick brown fox\""]);
  CHECK(two["ids"] == right["02-tokenizer-json-only"]["greedy 6"]);
  CHECK(generated("04-endoftext-in-prompt", "<|endoftext|>the")["prompt_ids"] ==
        json::array({0, 258}));
  CHECK(tplab({"tokenize", "--tokenizer", cases + "/03-added-tokens", "<USER>the dog"}).out ==
        "320 258 286\n");
  CHECK(tplab({"tokenize", "--tokenizer", cases + "/15-plain-special-tokens", "the dog"}).out ==
        "260 288\n");
  CHECK(tplab({"tokenize", "--tokenizer", cases + "/10-partial-byte-alphabet", "the quick dog"})
            .out == "40 72 68\n");

  const TemporaryFolder folder;
  const auto run = [&](const Arguments& options) {
    return tplab(tiny(folder / "run", options + Arguments{"--steps", "2", "--block", "8"}));
  };
  CHECK_THAT(run({"--data", cases + "/01-uint32-tokens"}).err,
             Contains("3000 tokens to learn and 600 to test"));
  const Ran nine = run({"--data", cases + "/09-meta-without-characters"});
  CHECK(nine.exit_code == 0);
  CHECK_THAT(nine.err, Contains("a vocabulary of 150"));
  const Ran four = run({"--text", cases + "/04-endoftext-in-prompt/stories.txt", "--tokenizer",
                        cases + "/04-endoftext-in-prompt"});
  CHECK(four.exit_code == 0);
  CHECK_THAT(four.err, Contains("60 <|endoftext|>"));
  const Ran seventeen = run({"--text", cases + "/17-utf16-and-bom/powershell.txt"});
  CHECK(seventeen.exit_code == 3);
  CHECK_THAT(seventeen.err, Contains("iconv -f UTF-16 -t UTF-8"));
}

}  // namespace
}  // namespace tplab
