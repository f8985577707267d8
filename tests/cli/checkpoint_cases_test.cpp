// Checkpoints of ../shared/data/cases, which tplab 0.1.0 refused or called by wrong names.
#include <catch2/catch.hpp>

#include "run_tplab.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
using nlohmann::json;

std::string case_path(const std::string& name) { return shared_data("cases/" + name); }

void check_verified(const std::string& path) {
  CAPTURE(path);
  const Ran ran = tplab({"verify", "--checkpoint", path, "--tp", "2", "--seq", "8"});
  CHECK(ran.exit_code == 0);
  CHECK_THAT(ran.out, Contains("verified"));
}

// What transformers continues the prompt with.
json greedy(const std::string& path) {
  const Ran ran = tplab({"generate", "--checkpoint", path, "--tokens", "258,290,285,287",
                         "--greedy", "--max-new", "6", "--json"});
  CHECK(ran.exit_code == 0);
  return ran.json()["ids"];
}

TEST_CASE("cases: misaligned and head-only checkpoints continue as transformers does") {
  const std::string expected = case_path("right_results.json");
  if (expected.empty()) return;
  const json right = json::parse(file_text(expected));
  for (const char* name : {"05-misaligned-safetensors", "06-only-lm-head-saved"}) {
    CAPTURE(name);
    check_verified(case_path(name));
    CHECK(greedy(case_path(name)) == right[name]["greedy 6"]);
  }
  // The same weights under "module.".
  CHECK(greedy(case_path("07-ddp-prefix/hf")) == right["05-misaligned-safetensors"]["greedy 6"]);
}

TEST_CASE("cases: names that a wrapper lengthened, and objects beside the model, are no obstacle") {
  for (const char* name :
       {"07-ddp-prefix/module.pt", "07-ddp-prefix/hf", "13-other-objects-in-ckpt/numpy_loss.pt",
        "13-other-objects-in-ckpt/torch_size_device_dtype.pt",
        "13-other-objects-in-ckpt/build_nanogpt_style.pt"}) {
    const std::string path = case_path(name);
    if (path.empty()) return;
    check_verified(path);
  }
  const Ran info =
      tplab({"info", "--checkpoint", case_path("13-other-objects-in-ckpt/build_nanogpt_style.pt")});
  CHECK_THAT(info.err, Contains("tplab: note: the model's sizes are in 'config'"));
  CHECK_THAT(info.out, Contains("GELU tanh form"));
}

TEST_CASE("cases: a pointer of Git LFS is called one") {
  const std::string path = case_path("16-lfs-pointer");
  if (path.empty()) return;
  const Ran ran = tplab({"info", "--checkpoint", path});
  CHECK(ran.exit_code == 3);
  CHECK_THAT(ran.err, Contains("model.safetensors: is a Git LFS pointer") && Contains("fix: ") &&
                          Contains("git lfs pull"));
}

TEST_CASE("names: a NUL cuts no message, and an escape reaches no terminal") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "d");
  write_file(folder / "d/vocab.json", R"({"\u0000a":1})");
  write_file(folder / "d/merges.txt", "");
  const Ran ran = tplab({"tokenize", "--tokenizer", folder / "d", "abc"});
  CHECK(ran.exit_code == 2);  // the vocabulary is one, but not for this text
  CHECK_THAT(ran.err, Contains("\\x00a") && Contains("fix: "));

  const std::string path = folder / "e\x1b]0;pwn\a\xc2\x9b\xff\xe2\x80\xae\u00e9.pt";
  std::filesystem::copy(fixture("nanogpt-tiny/ckpt.pt"), path);
  const std::string shown = "e\\x1b]0;pwn\\x07\\u009b\\xff\\u202e\u00e9.pt";
  const std::vector<std::vector<std::string>> commands = {
      {"info"},
      {"verify", "--tp", "2", "--seq", "4"},
      {"draw", "block", "--tp", "2"},
      {"export", "-o", folder / "x\x1b]0;pwn\a"},
      {"generate", "--tokens", "1", "--max-new", "1"},
      {"verify", "--against", path}};
  for (std::vector<std::string> command : commands) {
    command.insert(command.end(), {"--checkpoint", path});
    CAPTURE(command[0]);
    const Ran named = tplab(command);
    const std::string all = named.out + named.err;
    CHECK(all.find('\x1b') == all.npos);
    CHECK(all.find('\xff') == all.npos);
    if (command[0] == "info" || command[0] == "verify") CHECK_THAT(all, Contains(shown));
  }
}

}  // namespace
}  // namespace tplab
