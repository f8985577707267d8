// What --json writes is what cli/schemas/ says, for every command; and the schemas are strict.
#include <algorithm>
#include <catch2/catch.hpp>

#include "run_tplab.h"
#include "tests/verify/file_parts.h"

namespace tplab {
namespace {

using namespace testing;
using Arguments = std::vector<std::string>;

bool has_validator() {
  if (shell("python3 -c 'from jsonschema import Draft202012Validator'").exit_code == 0) return true;
  WARN("skipped: python3-jsonschema is not on this machine");
  return false;
}

// "tplab/bench/decode/1" -> cli/schemas/bench_decode.json
std::string schema_of(const std::string& name) {
  REQUIRE(name.size() > 8);
  std::string file = name.substr(6, name.size() - 8);
  std::replace(file.begin(), file.end(), '/', '_');
  return TPLAB_SOURCE_DIR "/cli/schemas/" + file + ".json";
}

// The document is as its schema says; without any one of its fields, or with one renamed, it is
// not.
void check_schema(const Arguments& arguments, const How& how = {}) {
  CAPTURE(arguments);
  const Ran ran = tplab(arguments, how);
  CHECK(ran.exit_code <= 1);  // 1: the document says what is wrong
  const TemporaryFolder folder;
  write_file(folder / "document.json", ran.out);
  const Ran checked =
      shell("python3 '" TPLAB_SOURCE_DIR "/tests/cli/check_schema.py' '" +
            schema_of(ran.json().value("schema", "")) + "' '" + folder / "document.json" + "'");
  CHECK(checked.out + checked.err == "");
  CHECK(checked.exit_code == 0);
}

const std::string kNano = "nano-cpu";

TEST_CASE("the option --json: verify, forward and backward, as its schema says") {
  if (!has_validator()) return;
  check_schema({"verify", "--preset", kNano, "--tp", "1,2", "--seq", "4", "--json"});
  const TemporaryFolder folder;  // a golden without targets, so without a loss
  write_file(folder / "golden.safetensors",
             file_of({ids("x", {1, 2}, {0, 1}), doubles("logits", {1, 2, 65}, Numbers(130, 0.5))}));
  check_schema({"verify", "--preset", kNano, "--tp", "1", "--against",
                folder / "golden.safetensors", "--json"});
  const Arguments traced = {"verify", "--preset", kNano, "--tp", "1", "--seq", "4"};
  const std::string trace = folder / "trace.jsonl";
  Arguments writing = traced, comparing = traced;
  writing.insert(writing.end(), {"--trace", trace});
  CHECK(tplab(writing).exit_code == 0);
  comparing.insert(comparing.end(), {"--trace-against", trace, "--json"});
  check_schema(comparing);
  check_schema({"verify", "--backward", "--preset", kNano, "--tp", "2", "--dp", "1", "--steps", "1",
                "--seq", "4", "--json"});
}

TEST_CASE(
    "the option --json: info, trace, generate, tokenize, export and explore, as their schemas "
    "say") {
  if (!has_validator()) return;
  const TemporaryFolder folder;
  const std::string nano = fixture("nanogpt-tiny"), hf = fixture("gpt2-tiny");
  check_schema({"info", "--preset", "gpt2", "--tp", "4", "--json"});
  check_schema({"info", "--checkpoint", hf, "--json"});
  check_schema({"info", "--checkpoint", nano, "--tp", "2", "--train", "--json"});
  check_schema({"trace", "--table", "--preset", kNano, "--tp", "2", "--json"});
  check_schema({"trace", "--checkpoint", nano, "--tp", "2", "--json"});
  check_schema({"generate", "--checkpoint", nano, "--max-new", "3", "--json"});
  check_schema({"generate", "--preset", kNano, "--tokens", "1", "--max-new", "0", "--json"});
  check_schema({"tokenize", "--tokenizer", hf, "--json", "a"});
  check_schema({"tokenize", "--tokenizer", hf, "--decode", "--json", "1", "2"});
  check_schema({"export", "--preset", kNano, "-o", folder / "exported", "--json"});
  check_schema({"export", "--checkpoint", hf, "-o", folder / "again", "--json"});
  check_schema({"explore", "--json"});
}

TEST_CASE("the option --json: monitor, as its schema says, of GPUs and of virtual ranks") {
  if (!has_validator()) return;
  check_schema({"monitor", "--preset", kNano, "--tp", "2", "--seq", "4", "--json"});
  check_schema({"monitor", "--preset", kNano, "--seq", "4", "--json"});
  for (const char* script : {"FAKE_NVML=", "FAKE_NVML=mig", "FAKE_NVML=lost=0"}) {
    const How how{.env = {script}};
    check_schema({"monitor", "--nvml", TPLAB_FAKE_NVML, "--json"}, how);
    // What is beside a command goes to a file: here to the one that stdout is.
    check_schema(
        {"monitor", "--nvml", TPLAB_FAKE_NVML, "--json", "-o", "/dev/stdout", "--", "true"}, how);
  }
}

TEST_CASE("the option --json: train, as its schema says") {
  if (!has_validator()) return;
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 60; ++i) text += "to be or not to be ";
  write_file(folder / "text", text);
  check_schema({"train",
                "--text",
                folder / "text",
                "--layers",
                "1",
                "--heads",
                "2",
                "--width",
                "8",
                "--block",
                "8",
                "--steps",
                "1",
                "--warmup-steps",
                "0",
                "--eval-batches",
                "1",
                "--no-sample",
                "--out",
                folder / "other",
                "--json"});
  check_schema({"train",
                "--layers",
                "1",
                "--heads",
                "2",
                "--width",
                "16",
                "--block",
                "16",
                "--steps",
                "2",
                "--warmup",
                "1",
                "--eval-batches",
                "1",
                "--tp",
                "2",
                "--out",
                folder / "run",
                "--json"});
}

TEST_CASE("the option --json: pictures of every kind, as their schema says", "[slow]") {
  if (!has_validator()) return;
  check_schema({"draw", "collective", "--json"});
  for (const char* kind : {"block", "model", "shards", "mesh", "compare", "timeline"})
    for (const char* tp : {"1", "2"})
      check_schema({"draw", kind, "--preset", kNano, "--tp", tp, "--json"});
  // Four layers on three ranks are no pipeline.
  check_schema({"draw", "compare", "--preset", kNano, "--tp", "3", "--uneven", "--json"});
}

TEST_CASE("the option --json: doctor and benchmarks, as their schemas say", "[slow]") {
  if (!has_validator()) return;
  check_schema({"doctor", "--json"});
  for (const char* bench : {"forward", "decode"})
    for (const auto& [kind, model] : {std::pair<std::string, std::string>("--preset", kNano),
                                      {"--checkpoint", fixture("nanogpt-tiny")}})
      check_schema({"bench", bench, kind, model, "--tp", "1,2", "--repeat", "1", "--json"});
  check_schema({"bench", "train", "--preset", kNano, "--tp", "1,2", "--dp", "1", "--repeat", "1",
                "--steps", "1", "--seq", "8", "--json"});
  check_schema({"bench", "collectives", "--tp", "2", "--max", "4K", "--repeat", "1", "--json"});
  check_schema({"bench", "attention", "--batch", "1", "--seq", "32", "--heads", "2", "--repeat",
                "1", "--json"});
}

}  // namespace
}  // namespace tplab
