// A run written down: --config's files, and the options that --json names.
#include <catch2/catch.hpp>

#include "run_tplab.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
using nlohmann::json;
using Arguments = std::vector<std::string>;

// Without what depends on the clock.
json timeless(json document) {
  if (document.is_object()) document.erase("us");
  if (document.is_structured())
    for (json& part : document) part = timeless(part);
  return document;
}

TEST_CASE("the option --json names the command, its schema and every option, defaults too") {
  const json doc = tplab({"verify", "--preset", "nano-cpu", "--tp", "1,2", "--seq", "4", "--dtype",
                          "f32", "--sites", "--json"})
                       .json();
  CHECK(doc["schema"] == "tplab/verify/1");
  CHECK(doc["command"] == "tplab verify");
  CHECK(doc["version"].is_string());
  const json& options = doc["options"];
  CHECK(options["preset"] == "nano-cpu");
  CHECK(options["tp"] == json({1, 2}));
  CHECK(options["seq"] == 4);
  CHECK(options["sites"] == true);
  CHECK(options["backward"] == false);
  CHECK(options["algorithm"] == "direct");
  CHECK(options["seed"] == 1337);
  CHECK(options["dp"] == json({1, 2}));
  CHECK(options["checkpoint"].is_null());
  for (const char* none : {"json", "help", "out", "config", "no-color"})
    CHECK(!options.contains(none));
  CHECK(tplab({"bench", "collectives", "--tp", "2", "--max", "4K", "--repeat", "1", "--json"})
            .json()["schema"] == "tplab/bench/collectives/1");
}

TEST_CASE(
    "the option --config: lines of options, the command line wins, flags, lists and sections") {
  const TemporaryFolder folder;
  write_file(folder / "run.toml",
             "# a run\npreset = \"nano-cpu\"\ntp = [1, 2]\nseq = 4\ndtype = f32\nsites = true\n"
             "uneven = false\n\n[info]\ntrain = true\n");
  const json doc = tplab({"verify", "--config", folder / "run.toml", "--json"}).json();
  CHECK(doc["options"]["tp"] == json({1, 2}));
  CHECK(doc["options"]["sites"] == true);
  CHECK(doc["options"]["uneven"] == false);
  CHECK(doc["runs"].size() == 2);
  const json won =
      tplab({"verify", "--tp=1", "--config=" + folder / "run.toml", "--seq", "2", "--json"}).json();
  CHECK(won["options"]["tp"] == json({1}));
  CHECK(won["seq"] == 2);
  CHECK(won["runs"].size() == 1);
}

TEST_CASE("the option --config: what --json wrote, taken up again, is the same run") {
  const TemporaryFolder folder;
  const Arguments runs[] = {
      {"verify", "--preset", "nano-cpu", "--tp", "1,2", "--seq", "4", "--seed", "7"},
      {"info", "--preset", "gpt2", "--tp", "8", "--uneven", "--train", "--sp", "--batch", "4"},
      {"draw", "shards", "--preset", "nano-cpu", "--tp", "4"},
      {"trace", "--table", "--preset", "nano-cpu", "--tp", "2", "--dp", "2", "--zero", "1"},
      {"tokenize", "--tokenizer", fixture("gpt2-tiny"), "a b", "--allow-special"},
      {"tokenize", "--tokenizer", fixture("gpt2-tiny"), "<|endoftext|>", "--no-special"}};
  for (Arguments run : runs) {
    CAPTURE(run);
    const std::string file = folder / "run.json";
    run.insert(run.end(), {"--json", "-o", file});
    CHECK(tplab(run).exit_code == 0);
    CHECK(timeless(tplab({run[0], "--config", file, "--json"}).json()) ==
          timeless(json::parse(file_text(file))));
  }
}

TEST_CASE("the option --config: what is no option is named with its file, line and the nearest") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& text, int exit_code, const std::string& why) {
    CAPTURE(text);
    write_file(folder / "run.toml", text);
    const Ran ran = tplab({"verify", "--config", folder / "run.toml"});
    CHECK(ran.exit_code == exit_code);
    CHECK_THAT(ran.err, Contains(why) && Contains("fix:"));
  };
  refused("preset = \"nano-cpu\"\n\nsets = 4\n", 3, "line 3: 'sets' is no option of tplab verify");
  refused("presset = \"nano-cpu\"\n", 3, "did you mean --preset?");
  refused("sp = true\n", 3, "it is one of tplab train, ");
  refused("help = true\n", 3, "'help' is no option");
  refused("config = x\n", 3, "'config' is no option");
  refused("preset = \"nano-cpu\"\nsites = 3\n", 3, "neither true nor false");
  refused("preset = \"nano-cpu\"\ntp = 0\n", 3, "--tp: '0' is not a whole number");
  refused("{\"a\": 1}", 3, "has no options of a command in it");
  refused("{\"command\": \"tplab info\", \"options\": {}}", 3, "not of tplab verify");
  refused(std::string("\x7f"
                      "ELF\0\1\2\n\xff\xfe = 3",
                      15),
          3, "run.toml");
  const Ran absent = tplab({"verify", "--config", folder / "absent"});
  CHECK(absent.exit_code == 3);
  CHECK_THAT(absent.err, Contains("absent") && Contains("fix:"));
  CHECK(tplab({"verify", "--config"}).exit_code == 2);
}

TEST_CASE("success says what was written, how large it is, and how to open it") {
  const TemporaryFolder folder;
  const auto says = [&](Arguments command, const std::string& file, const std::string& how) {
    CAPTURE(command);
    command.insert(command.end(), {"-o", folder / file});
    const Ran ran = tplab(command);
    CHECK(ran.exit_code == 0);
    CHECK_THAT(ran.err, Contains("wrote " + folder / file + " (") && Contains(how));
    CHECK_THAT(ran.err, Contains(" KiB)") || Contains(" B)") || Contains(" MiB)"));
  };
  says({"trace", "--preset", "nano-cpu", "--seq", "4"}, "t.json",
       ": open it in https://ui.perfetto.dev");
  says({"draw", "collective"}, "c.svg", ": open it in a browser");
  says({"draw", "collective"}, "c.pdf", ": open it in a viewer");
  says({"draw", "collective"}, "c.dot", ": draw it with dot");
  says({"explore", "--no-diagram"}, "e.html", ": open it in a browser");
  says({"export", "--preset", "nano-cpu"}, "exported", "GPT2LMHeadModel.from_pretrained");
  says({"info", "--preset", "nano-cpu", "--json"}, "i.json", ")\n");
}

TEST_CASE("the option --config: a value that is none, and what is no file, are the file's fault") {
  const TemporaryFolder folder;
  const std::string file = folder / "run.toml";
  const auto refused = [&](const std::string& path, const std::string& problem) {
    const Ran ran = tplab({"info", "--preset", "gpt2", "--config", path}, {.columns = 1000});
    CHECK(ran.exit_code == 3);
    CHECK_THAT(ran.err, Contains(path) && Contains(problem));
  };
  refused(folder / "", "folder");
  refused(folder / "none", "none");
  write_file(file, "tp = two\n");
  refused(file, "--tp: 'two' is not a whole number from 1 to 64");
  write_file(file, "dp = 0\n");
  refused(file, "--dp: ");
  // The same value on the command line is the command line's.
  CHECK(tplab({"info", "--preset", "gpt2", "--config", file, "--dp", "0"}).exit_code == 2);
  write_file(file, "\xEF\xBB\xBFtp = 2\n");
  CHECK(tplab({"info", "--preset", "gpt2", "--config", file}).exit_code == 0);
  const Ran over = tplab({"info", "--preset", "gpt2", "--config", file, "-o", file});
  CHECK(over.exit_code == 2);
  CHECK(file_text(file) == "\xEF\xBB\xBFtp = 2\n");
}

}  // namespace
}  // namespace tplab
