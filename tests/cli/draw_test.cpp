// tplab draw: kinds, formats, what is refused, and how text is shown.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <sstream>

#include "run_tplab.h"

namespace tplab {
namespace {

using namespace testing;
using nlohmann::json;
using Arguments = std::vector<std::string>;
using Catch::Contains;

Arguments with(Arguments all, const Arguments& more) {
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

bool has_graphviz() {
  const bool has = shell("dot -V").exit_code == 0;
  if (!has) WARN("skipped: Graphviz is not installed");
  return has;
}

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

TEST_CASE("draw: an unknown kind is named, with the closest one if it is close") {
  check_refused({"draw", "shrads"}, 2, "'shrads' is no kind of picture", "did you mean shards?");
  check_refused({"draw", "elephant"}, 2, "'elephant' is no kind", "the kinds are ");
}

TEST_CASE("draw: an option that the kind does not use is refused, with the kinds that do") {
  check_refused(with(kShards, {"--dp", "2"}), 2, "--dp is not used by shards", "mesh");
  check_refused(with(kShards, {"--op", "broadcast"}), 2, "--op is not used by shards",
                "drop it, or draw what has it: collective");
  check_refused({"draw", "collective", "--preset", "nano"}, 2, "--preset is not used by collective",
                "shards");
}

TEST_CASE("draw: what cannot be drawn says how to ask for what can") {
  check_refused({"draw", "shards"}, 2, "no model was named", "--preset nano-cpu");
  check_refused({"draw", "shards", "--preset", "gpt2-xl", "--tp", "4"}, 2,
                "n_head 25 does not divide by tp 4", "use --tp 1, 5 or 25");
  check_refused({"draw", "collective", "--tp", "17"}, 2, "17 ranks cannot be drawn", "2 to 16");
  check_refused({"draw", "collective", "--op", "barrier"}, 2, "barrier is no collective",
                "--op all_reduce");
  check_refused({"draw", "mesh", "--preset", "nano", "--dp", "2", "--batch", "3"}, 2,
                "does not divide", "a multiple of 2");
}

TEST_CASE("draw: the file's ending says the format") {
  if (!has_graphviz()) return;
  const TemporaryFolder folder;
  for (const Arguments& kind : kKinds) {
    CAPTURE(kind);
    const auto starts = [&](const std::string& ending) {
      const std::string file = folder / ("picture." + ending);
      const Ran ran = tplab(with(kind, {"-o", file}));
      CHECK(ran.exit_code == 0);
      CHECK(ran.out.empty());
      CHECK(ran.err.empty());
      return file_text(file).substr(0, 5);
    };
    CHECK(starts("svg") == "<?xml");
    CHECK(starts("PNG") == "\x89PNG\r");
    CHECK(starts("pdf") == "%PDF-");
    CHECK(starts("dot") == "digra");
    CHECK_THAT(starts("txt"), !Contains("<"));
  }
}

TEST_CASE("draw: a format is refused before anything is written") {
  const TemporaryFolder folder;
  check_refused(with(kShards, {"-o", folder / "picture"}), 2, "a picture's format is told by",
                "end it in .svg");
  check_refused(with(kShards, {"--json", "-o", folder / "a.svg"}), 2, "--json writes numbers",
                "end -o in .json");
  if (has_graphviz())
    check_refused(with(kShards, {"-o", folder / "a.nonsense"}), 4, "could not write 'nonsense'",
                  "use .svg, .png, .pdf or .dot");
  CHECK(std::filesystem::is_empty(std::filesystem::path(folder / "x").parent_path()));
}

TEST_CASE("draw: without Graphviz text and dot are drawn, and others name the package") {
  const TemporaryFolder folder;
  const std::string without = "env PATH=/nowhere $TPLAB draw shards --preset nano-cpu ";
  CHECK(shell(without).exit_code == 0);
  CHECK(shell(without + "-o " + folder / "a.dot").exit_code == 0);
  CHECK(shell(without + "-o " + folder / "a.txt").exit_code == 0);
  const Ran ran = shell(without + "-o " + folder / "a.svg");
  CHECK(ran.exit_code == 4);
  CHECK_THAT(ran.err, Contains("install the package graphviz") && Contains(".dot"));
  CHECK_FALSE(std::filesystem::exists(folder / "a.svg"));
}

TEST_CASE("draw: text is of 80 columns, and ASCII where the locale is or --ascii says so") {
  const auto is_ascii = [](const std::string& text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || c >= ' '; });
  };
  for (const Arguments& kind : kKinds) {
    CAPTURE(kind);
    const How utf8{.env = {"LC_ALL=C.UTF-8"}}, ascii{.env = {"LC_ALL=C"}};
    const std::string text = tplab(with(kind, {"--ascii"}), utf8).out;
    CHECK(is_ascii(text));
    CHECK(tplab(kind, ascii).out == text);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 80);
  }
  const Ran unicode = tplab(kShards, {.env = {"LC_ALL=en_US.utf8"}});
  CHECK_THAT(unicode.out, Contains("┌"));
}

TEST_CASE("draw: colour on a terminal alone") {
  const How shown{.env = {"LC_ALL=C.UTF-8", "TERM=xterm"}, .terminal = true};
  CHECK_THAT(tplab(kShards, shown).out, Contains("\x1b[30;48;2;"));
  CHECK_THAT(tplab(with(kShards, {"--no-color"}), shown).out, !Contains("\x1b["));
  CHECK_THAT(tplab(kShards, {.env = {"LC_ALL=C.UTF-8"}}).out, !Contains("\x1b["));
}

TEST_CASE("draw: the same picture is the same file, every time") {
  const TemporaryFolder folder;
  for (const Arguments& kind : kKinds) {
    CAPTURE(kind);
    CHECK(tplab(with(kind, {"-o", folder / "a.dot"})).exit_code == 0);
    CHECK(tplab(with(kind, {"-o", folder / "b.dot"})).exit_code == 0);
    CHECK(file_text(folder / "a.dot") == file_text(folder / "b.dot"));
  }
}

TEST_CASE("draw: --json has the numbers of the picture") {
  const json shards = tplab(with(kShards, {"--json"})).json();
  CHECK(shards["schema"] == 1);
  CHECK(shards["kind"] == "shards");
  const json info = tplab({"info", "--preset", "nano-cpu", "--tp", "2", "--json"}).json();
  CHECK(shards["rank_bytes"] == info["ranks"][0]["weights_bytes"]);
  const json ring =
      tplab({"draw", "collective", "--algorithm", "ring", "--tp", "3", "--json"}).json();
  CHECK(ring["steps"] == 4);
  CHECK(ring["transfers"].size() == 12);
  CHECK(ring["results"][0]["chunks_sent"] == 4);
  const json mesh = tplab(with(kKinds[2], {"--json"})).json();
  CHECK(mesh["groups"].size() == 4);
  CHECK(mesh["groups"][3]["ranks"] == json({1, 3}));
  const json compare = tplab(with(kKinds[3], {"--json"})).json();
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
