// tplab generate: the same text at every tp, whole characters only, and clear refusals.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "model/checkpoints/checkpoint.h"
#include "run_tplab.h"
#include "sim/text/utf8.h"
#include "verify/golden.h"

namespace tplab {
namespace {

using namespace testing;
using Arguments = std::vector<std::string>;
using Catch::Contains;
using nlohmann::json;

Ran generate(const Arguments& more, const std::string& checkpoint = fixture("nanogpt-tiny/ckpt.pt"),
             const How& how = {}) {
  Arguments all = {"generate", "--checkpoint", checkpoint};
  all.insert(all.end(), more.begin(), more.end());
  return tplab(all, how);
}

TEST_CASE("generate: no escape in a text is obeyed by a terminal, and a file has it as it is") {
  if (!has_terminals()) return;
  const auto echoed = [](bool terminal) {
    return generate({"--prompt", "a\x1b[31mb", "--max-new", "0"}, fixture("gpt2-tiny"),
                    {.terminal = terminal})
        .out;
  };
  CHECK_THAT(echoed(false), Catch::StartsWith("a\x1b[31mb"));
  CHECK_THAT(echoed(true), Catch::StartsWith("a\\x1b[31mb"));
}

TEST_CASE("generate: one seed gives one text at every tp, in f64") {
  // In f32, sums in another order may round another way and tip a draw.
  for (const std::string model : {"nanogpt-tiny/ckpt.pt", "gpt2-tiny", "gpt2-tiny-sharded"}) {
    const auto text = [&](const std::string& tp, const std::string& seed) {
      const Ran ran = generate({"--prompt", "the ", "--tp", tp, "--uneven", "--seed", seed,
                                "--dtype", "f64", "--max-new", "50"},
                               fixture(model));
      CHECK(ran.exit_code == 0);
      CHECK(ran.err.empty());
      return ran.out;
    };
    const std::string one = text("1", "1");
    CHECK_THAT(one, Catch::StartsWith("the ") && Catch::EndsWith("\n"));
    CHECK(utf8::first_invalid(one) == std::string::npos);
    CHECK(text("2", "1") == one);
    CHECK(text("4", "1") == one);
    CHECK(text("3", "1") == one);
    CHECK(text("1", "2") != one);
  }
}

TEST_CASE("generate: --algorithm does not change the text in f64") {
  const Arguments more = {"--prompt", "a", "--tp", "4", "--dtype", "f64", "--algorithm"};
  const auto with = [&](const char* algorithm) {
    Arguments all = more;
    all.emplace_back(algorithm);
    return generate(all).out;
  };
  const std::string direct = with("direct");
  for (const char* other : {"ring", "tree", "gather"}) CHECK(with(other) == direct);
}

TEST_CASE("generate: --json has the prompt, the new ids and their text") {
  const json doc = generate({"--prompt", "Hi!", "--max-new", "12", "--json"}).json();
  CHECK(doc["schema"] == "tplab/generate/1");
  CHECK(doc["prompt"] == "Hi!");
  CHECK(doc["prompt_ids"] == json::array({41, 74, 2}));
  CHECK(doc["ids"].size() == 12);
  CHECK(doc["text"].get<std::string>().size() == 12);
  CHECK(doc["stopped"] == "max_new");
  CHECK(doc["tokens_per_second"].get<double>() > 0);
  CHECK(doc["first_token_seconds"].get<double>() > 0);
  for (const char* key : {"source", "tp", "dtype", "temperature", "top_k", "top_p", "seed"})
    CHECK(doc.contains(key));
  CHECK(generate({"--prompt", "Hi!", "--max-new", "12"}).out ==
        "Hi!" + doc["text"].get<std::string>() + "\n");
  CHECK(generate({"--prompt", "Hi!", "--max-new", "12", "--no-echo"}).out ==
        doc["text"].get<std::string>() + "\n");
}

TEST_CASE("generate: the prompt may come from stdin") {
  const Ran piped = generate({"--prompt", "-"}, fixture("nanogpt-tiny/ckpt.pt"), {.input = "Hi\n"});
  CHECK(piped.exit_code == 0);
  CHECK(piped.out == generate({"--prompt", "Hi\n"}).out);
}

TEST_CASE("generate: without a prompt it begins a new text") {
  CHECK(generate({"--json"}).json()["prompt_ids"] == json::array({0}));  // the newline
  const json gpt2 = generate({"--json"}, fixture("gpt2-tiny")).json();
  CHECK(gpt2["prompt_ids"] == json::array({263}));  // <|endoftext|>
  CHECK(gpt2["prompt"] == "");
}

TEST_CASE("generate: more tokens than the context are fine, none at all too") {
  CHECK(generate({"--prompt", "a", "--max-new", "40", "--json"}).json()["ids"].size() == 40);
  CHECK(generate({"--prompt", "ab", "--max-new", "0"}).out == "ab\n");
}

TEST_CASE("generate: ids in, ids out, for models without a tokenizer") {
  const auto ids = [](const char* tp) {
    return tplab({"generate", "--preset", "nano-cpu", "--tokens", "1,2 3", "--max-new", "4",
                  "--greedy", "--tp", tp})
        .out;
  };
  CHECK_THAT(ids("1"), Catch::StartsWith("1 2 3 "));
  CHECK(ids("4") == ids("1"));
}

// Refused before anything is printed.
void check_refused(const Ran& ran, const std::string& message) {
  CHECK(ran.exit_code == 2);
  CHECK(ran.out.empty());
  CHECK_THAT(ran.err, Catch::StartsWith("tplab: ") && Contains(message) && Contains("fix:"));
}

TEST_CASE("generate: prompts that this model cannot read are refused") {
  check_refused(generate({"--prompt", "caf\xC3\xA9"}), "character 4");
  check_refused(generate({"--prompt", "a\xFFg"}), "not UTF-8");
  check_refused(generate({"--prompt", ""}), "empty");
  check_refused(generate({"--prompt", std::string(33, 'a')}), "context is 32");
  check_refused(generate({"--tokens", "1,96"}), "token id 96 (number 2");
  check_refused(generate({"--tokens", "1,two"}), "'two' (number 2)");
  check_refused(generate({"--tokens=-1"}), "'-1'");
  check_refused(generate({"--tokens", "1", "--prompt", "a"}), "--prompt");
}

TEST_CASE("generate: sampling that has no meaning is refused") {
  check_refused(generate({"--temperature", "-1"}), "temperature");
  check_refused(generate({"--temperature", "nan"}), "temperature");
  check_refused(generate({"--top-p", "0"}), "top-p");
  check_refused(generate({"--top-k", "-3"}), "top-k");
  check_refused(generate({"--greedy", "--temperature", "1"}), "--greedy");
  check_refused(generate({"--max-new", "-1"}), "--max-new");
  check_refused(generate({"--tp", "3"}), "use --tp 1, 2 or 4");
}

TEST_CASE("generate: a missing or foreign tokenizer is explained") {
  const TemporaryFolder folder;
  std::filesystem::copy_file(fixture("nanogpt-tiny/ckpt.pt"), folder / "ckpt.pt");
  check_refused(generate({"--prompt", "a"}, folder / "ckpt.pt"), "meta.pkl");
  CHECK(generate({"--prompt", "a", "--tokenizer", fixture("nanogpt-tiny/meta.pkl")},
                 folder / "ckpt.pt")
            .exit_code == 0);
  check_refused(tplab({"generate", "--preset", "nano-cpu", "--prompt", "a"}), "no tokenizer");
  // Ids of GPT-2's 264 tokens, most of which a model of 96 characters does not have.
  const Ran foreign = generate({"--prompt", "the the", "--tokenizer", fixture("gpt2-tiny")});
  CHECK(foreign.exit_code == 2);
  CHECK_THAT(foreign.err, Contains("outside the model's vocabulary of 96") && Contains("note:"));
}

TEST_CASE("generate: greedy decoding is nanoGPT's own, token for token") {
  const std::string folder = shared_data("nanogpt-shakespeare-char");
  if (folder.empty()) return;
  const std::string checkpoint = folder + "/ckpt.pt";
  const Golden golden =
      read_golden(folder + "/golden.safetensors", open_checkpoint(checkpoint)->architecture());
  REQUIRE(golden.greedy_new.size() == 100);
  for (const char* tp : {"1", "2", "4"}) {
    const json doc = generate({"--tokens", fmt::format("{}", fmt::join(golden.greedy_prompt, ",")),
                               "--greedy", "--dtype", "f64", "--tp", tp, "--json"},
                              checkpoint)
                         .json();
    CHECK(doc["ids"].get<std::vector<int32_t>>() == golden.greedy_new);
  }
}

}  // namespace
}  // namespace tplab
