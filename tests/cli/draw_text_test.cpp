// tplab draw: its help, its options, its numbers, and how text is shown.
#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>

#include "run_tplab.h"

namespace tplab {
namespace {

using namespace testing;
using nlohmann::json;
using Arguments = std::vector<std::string>;
using Catch::Contains;

Arguments with_options(Arguments all, const Arguments& more) {
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

const Arguments kShards = {"draw", "shards", "--preset", "nano-cpu", "--tp", "2"};
// A kind that draws in milliseconds, of every kind.
const Arguments kKinds[] = {kShards,
                            {"draw", "collective", "--tp", "3", "--algorithm", "ring"},
                            {"draw", "mesh", "--preset", "nano-cpu", "--tp", "2", "--dp", "2"},
                            {"draw", "compare", "--preset", "nano-cpu"},
                            {"draw", "block", "--preset", "nano-cpu"},
                            {"draw", "model", "--preset", "nano-cpu"}};

void check_refused(const Arguments& arguments, int exit_code, const std::string& message,
                   const std::string& fix) {
  CAPTURE(arguments);
  const Ran ran = tplab(arguments);
  CHECK(ran.exit_code == exit_code);
  CHECK(ran.out.empty());
  CHECK_THAT(ran.err, Contains(message) && Contains("\n  fix: ") && Contains(fix));
}

TEST_CASE("draw: without a kind, help that lists the kinds and has examples") {
  const Ran ran = tplab({"draw"});
  CHECK(ran.exit_code == 0);
  CHECK_THAT(ran.out, Contains("Kinds:") && Contains("\n  shards ") && Contains("\n  mesh ") &&
                          Contains("Examples:") && Contains("tplab draw shards --preset"));
}

TEST_CASE("draw: an option that the kind does not use is refused, with the kinds that do") {
  check_refused(with_options(kShards, {"--dp", "2"}), 2, "--dp is not used by shards", "mesh");
  check_refused(with_options(kShards, {"--op", "broadcast"}), 2, "--op is not used by shards",
                "drop it, or draw what has it: collective");
  check_refused({"draw", "collective", "--preset", "nano"}, 2, "--preset is not used by collective",
                "shards");
}

TEST_CASE("draw: every option is of some kind") {
  const std::string help = tplab({"draw", "--help"}).out;
  for (const char* option : {"--device", "--comm", "--timeout", "--batch", "--depth"}) {
    REQUIRE_THAT(help, Contains(option));
    check_refused(with_options(kShards, {option, "1"}), 2, " is not used by shards",
                  "or draw what has it: ");
  }
}

TEST_CASE("draw: text is of 80 columns, and ASCII where the locale is or --ascii says so") {
  const auto is_ascii = [](const std::string& text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || c >= ' '; });
  };
  for (const Arguments& kind : kKinds) {
    CAPTURE(kind);
    const How utf8{.env = {"LC_ALL=C.UTF-8"}}, ascii{.env = {"LC_ALL=C"}};
    const std::string text = tplab(with_options(kind, {"--ascii"}), utf8).out;
    CHECK(is_ascii(text));
    CHECK(tplab(kind, ascii).out == text);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 80);
  }
  const Ran unicode = tplab(kShards, {.env = {"LC_ALL=en_US.utf8"}});
  CHECK_THAT(unicode.out, Contains("┌"));
}

TEST_CASE("draw: colour on a terminal alone") {
  if (!has_terminals()) return;
  const How shown{.env = {"LC_ALL=C.UTF-8", "TERM=xterm"}, .terminal = true};
  CHECK_THAT(tplab(kShards, shown).out, Contains("\x1b[30;48;2;"));
  CHECK_THAT(tplab(with_options(kShards, {"--no-color"}), shown).out, !Contains("\x1b["));
  CHECK_THAT(tplab(kShards, {.env = {"LC_ALL=C.UTF-8"}}).out, !Contains("\x1b["));
}

TEST_CASE("draw: the same picture is the same file, every time") {
  const TemporaryFolder folder;
  for (const Arguments& kind : kKinds) {
    CAPTURE(kind);
    CHECK(tplab(with_options(kind, {"-o", folder / "a.dot"})).exit_code == 0);
    CHECK(tplab(with_options(kind, {"-o", folder / "b.dot"})).exit_code == 0);
    CHECK(file_text(folder / "a.dot") == file_text(folder / "b.dot"));
  }
}

TEST_CASE("draw: --json has the numbers of the picture") {
  const json shards = tplab(with_options(kShards, {"--json"})).json();
  CHECK(shards["schema"] == "tplab/draw/1");
  CHECK(shards["kind"] == "shards");
  const json info = tplab({"info", "--preset", "nano-cpu", "--tp", "2", "--json"}).json();
  CHECK(shards["rank_bytes"] == info["ranks"][0]["weights_bytes"]);
  const json ring =
      tplab({"draw", "collective", "--algorithm", "ring", "--tp", "3", "--json"}).json();
  CHECK(ring["steps"] == 4);
  CHECK(ring["transfers"].size() == 12);
  CHECK(ring["results"][0]["chunks_sent"] == 4);
  const json mesh = tplab(with_options(kKinds[2], {"--json"})).json();
  CHECK(mesh["groups"].size() == 4);
  CHECK(mesh["groups"][3]["ranks"] == json({1, 3}));
  const json compare = tplab(with_options(kKinds[3], {"--json"})).json();
  CHECK(compare["schemes"].size() == 4);
}

TEST_CASE("draw: the checkpoint that is read is not replaced by the picture") {
  const Ran ran = tplab({"draw", "shards", "--checkpoint", fixture("nanogpt-tiny/ckpt.pt"), "-o",
                         fixture("nanogpt-tiny/ckpt.pt")});
  CHECK(ran.exit_code != 0);
  CHECK(tplab({"info", "--checkpoint", fixture("nanogpt-tiny/ckpt.pt")}).exit_code == 0);
}

}  // namespace
}  // namespace tplab
