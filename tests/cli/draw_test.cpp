// tplab draw: pictures as files and as text, exactly those that people have looked at.
//
// tests/viz/golden/ holds them. After a change that is meant to change them:
//   TPLAB_GOLDEN=write build/tests/test_cli "draw: golden*", and look at each with git diff.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "run_tplab.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
using nlohmann::json;
using Arguments = std::vector<std::string>;

Arguments draw(const std::string& words) {
  Arguments arguments = {"draw"};
  std::string word;
  for (const char c : words + " ") {
    if (c != ' ') {
      word += c;
    } else if (!word.empty()) {
      arguments.push_back(std::exchange(word, ""));
    }
  }
  return arguments;
}

const How kUtf8{.env = {"LC_ALL=C.UTF-8"}};

// What the golden set was drawn with; another version lays graphs out otherwise.
bool has_golden_graphviz() {
  if (shell("dot -V 2>&1 | grep -q 'version 2.43.0'").exit_code == 0) return true;
  WARN("skipped: the golden SVG were drawn by Graphviz 2.43.0");
  return false;
}

struct GoldenPicture {
  const char *file, *words;
};
constexpr GoldenPicture kGolden[] = {
    {"block_tp2", "block --preset nano-cpu --tp 2 --seq 8 --phase forward"},
    {"block_sp_backward", "block --preset nano-cpu --tp 2 --sp --seq 8 --phase backward"},
    {"model_dp2", "model --preset nano --tp 2 --dp 2 --zero 1"},
    {"shards_tp2", "shards --preset nano-cpu --tp 2"},
    {"shards_uneven", "shards --preset gpt2-xl --tp 8 --uneven"},
    {"collective_ring", "collective --op all_reduce --algorithm ring --tp 3"},
    {"collective_tree", "collective --op broadcast --algorithm tree --tp 5"},
    {"mesh_2x2", "mesh --preset nano-cpu --tp 2 --dp 2"},
    {"compare_tp4", "compare --preset gpt2 --tp 4 --batch 8 --seq 1024"}};

// Held against the golden file, or with TPLAB_GOLDEN=write made that.
void check_golden(const std::string& file, const std::string& drawn) {
  const std::string path = std::string(TPLAB_SOURCE_DIR) + "/tests/viz/golden/" + file;
  INFO(path);
  if (std::getenv("TPLAB_GOLDEN")) write_file(path, drawn);
  const bool same = file_text(path) == drawn;  // the texts are long
  CHECK(same);
}

TEST_CASE("draw: golden texts, with Unicode and without") {
  for (const GoldenPicture& golden : kGolden) {
    const Ran text = tplab(draw(golden.words), kUtf8);
    INFO(text.err);
    REQUIRE(text.exit_code == 0);
    check_golden(std::string(golden.file) + ".txt", text.out);
  }
  const Ran ascii = tplab(draw(kGolden[0].words + std::string(" --ascii")), kUtf8);
  check_golden("block_tp2_ascii.txt", ascii.out);
}

TEST_CASE("draw: golden SVG") {
  if (!has_golden_graphviz()) return;
  const TemporaryFolder folder;
  for (const GoldenPicture& golden : kGolden) {
    const std::string path = folder / "picture.svg";
    const Ran ran = tplab(draw(golden.words + (" -o " + path)));
    INFO(ran.err);
    REQUIRE(ran.exit_code == 0);
    check_golden(std::string(golden.file) + ".svg", file_text(path));
  }
}

// Whether tags open and close in order, attributes are quoted, and every & begins an entity.
std::string xml_fault(const std::string& xml) {
  Arguments open;
  for (size_t at = 0; (at = xml.find_first_of("<&", at)) != std::string::npos;) {
    if (xml[at] == '&') {
      const size_t end = xml.find_first_not_of(
          "#abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", at + 1);
      if (end == std::string::npos || xml[end] != ';' || end == at + 1)
        return "a bare & at " + xml.substr(at, 20);
      at = end;
      continue;
    }
    const size_t end = xml.find('>', at);
    if (end == std::string::npos) return "an open tag at the end";
    const std::string tag = xml.substr(at + 1, end - at - 1);
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0) return "an open quote in " + tag;
    const std::string name =
        tag.substr(tag[0] == '/', tag.find_first_of(" /\n", 1) - (tag[0] == '/'));
    if (tag[0] == '/') {
      if (open.empty() || open.back() != name) return "</" + name + "> closes nothing";
      open.pop_back();
    } else if (tag[0] != '?' && tag.back() != '/') {
      open.push_back(name);
    }
    at = end;
  }
  return open.empty() ? "" : "<" + open.back() + "> is not closed";
}

TEST_CASE("draw: SVG is well-formed, named and without script, and hostile names are text in it") {
  CHECK(xml_fault("<a b=\"c\"><d/>&amp;</a>").empty());
  CHECK(xml_fault("<a><b></a></b>") == "</a> closes nothing");
  CHECK(xml_fault("<a>&x</a>") == "a bare & at &x</a>");
  CHECK(xml_fault("<a b=\"c>d</a>") == "an open quote in a b=\"c");
  CHECK(xml_fault("<a>") == "<a> is not closed");
  if (!has_golden_graphviz()) return;
  const TemporaryFolder folder;
  const std::string model = folder / "<script>&\"é\n]]>";
  std::filesystem::copy(fixture("nanogpt-tiny"), model);
  for (const char* kind : {"block", "model", "shards", "mesh", "compare", "timeline"}) {
    INFO(kind);
    const std::string path = folder / "picture.svg";
    const Ran ran = tplab({"draw", kind, "--checkpoint", model, "--tp", "2", "-o", path});
    INFO(ran.err);
    REQUIRE(ran.exit_code == 0);
    const std::string svg = file_text(path);
    CHECK(xml_fault(svg).empty());
    CHECK_THAT(svg, Contains("<title>") && Contains("xlink:title=") && Contains(" id=\""));
    CHECK_THAT(svg, !Contains("<script"));
    CHECK(tplab({"draw", kind, "--checkpoint", model}).exit_code == 0);
  }
}

TEST_CASE("draw: no text is wider than 80 columns, and no path is obeyed by a terminal") {
  const TemporaryFolder folder;
  const std::string model = folder / ("esc\x1b[31m é " + std::string(80, 'x'));
  std::filesystem::copy(fixture("nanogpt-tiny"), model);
  for (const char* kind : {"block", "model", "shards", "mesh", "compare", "timeline"}) {
    INFO(kind);
    const Ran ran = tplab({"draw", kind, "--checkpoint", model, "--tp", "2", "--ascii"}, kUtf8);
    CHECK(ran.exit_code == 0);
    for (const char c : ran.out) CHECK((c == '\n' || (c >= ' ' && c <= '~')));
    for (const char* options : {"--preset gpt2 --tp 12", "--preset gpt2-xl --tp 25"}) {
      if (kind == std::string("timeline")) continue;
      const std::string text =
          tplab(draw(kind + std::string(" ") + options + " --ascii"), kUtf8).out;
      size_t widest = 0;
      for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos;
           begin = end + 1)
        widest = std::max(widest, end - begin);
      CHECK(widest <= 80);
    }
  }
  const Ran table = tplab({"trace", "--table", "--checkpoint", model, "--tp", "2"});
  CHECK(table.out.find('\x1b') == std::string::npos);
}

TEST_CASE("draw: the numbers of a model are those of the trace's table") {
  const json model =
      tplab(draw("model --preset gpt2 --tp 4 --dp 2 --sp --zero 2 --json")).json()["root"];
  const json table = tplab({"trace", "--table", "--preset", "gpt2", "--tp", "4", "--dp", "2",
                            "--sp", "--zero", "2", "--json"})
                         .json();
  int64_t sync_points = 0, sent = 0;
  for (const char* phase : {"forward", "backward", "optimizer"}) {
    sync_points += model[phase]["sync_points"].get<int64_t>();
    sent += model[phase]["rank_0_sends_bytes"].get<int64_t>();
  }
  const json& rank = table["ranks"][0]["counted"];
  CHECK(sync_points == rank["calls"]);
  CHECK(sent == rank["wire_bytes"]);
}

TEST_CASE("draw: every format by the file's ending") {
  if (!has_golden_graphviz()) return;
  const TemporaryFolder folder;
  const auto begins = [&](const std::string& ending, const std::string& start) {
    const std::string path = folder / ("mesh." + ending);
    const Ran ran = tplab(draw("mesh --preset nano-cpu -o " + path));
    INFO(ran.err);
    CHECK(ran.exit_code == 0);
    CHECK(ran.out.empty());
    CHECK(file_text(path).substr(0, start.size()) == start);
  };
  begins("png", "\x89PNG");
  begins("pdf", "%PDF");
  begins("dot", "digraph");
  begins("SVG", "<?xml");
  begins("txt", "preset nano-cpu");
}

TEST_CASE("draw: what cannot be drawn is refused, and says what can") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& words, int exit_code, const std::string& problem,
                           const std::string& fix) {
    CAPTURE(words);
    const Ran ran = tplab(draw(words), {.columns = 1000});
    CHECK(ran.exit_code == exit_code);
    CHECK(ran.out.empty());
    CHECK_THAT(ran.err, Contains(problem) && Contains(fix));
  };
  refused("bloc --preset gpt2", 2, "no kind of picture", "did you mean block?");
  refused("xyzzyx", 2, "no kind of picture", "the kinds are block, model, shards");
  refused("shards --preset gpt2 --op all_gather", 2, "--op is not used by shards", "collective");
  refused("block --preset gpt2 --layer 12", 2, "there is no block 12", "0 to 11");
  refused("block --preset gpt2-xl --tp 8", 2, "n_head 25 does not divide by tp 8",
          "use --tp 1, 5 or 25, or --uneven");
  refused("model --preset gpt2-xl --tp 5 --unfold --depth 3 -o " + (folder / "m.svg"), 2, "boxes",
          "leave out --unfold");
  refused("collective --tp 17", 2, "17 ranks", "2 to 16");
  refused("mesh --preset gpt2 -o " + (folder / "m"), 2, "told by the file's ending", ".svg");
  refused("mesh --preset gpt2 -o " + (folder / "m.nonsense"), 2, "told by the file's ending",
          ".svg, .png, .pdf");
  refused("mesh --preset gpt2 -o " + (folder / "m.json"), 2, "told by the file's ending", "--json");
  refused("--preset gpt2 -o " + (folder / "m.svg"), 2, "no kind of picture is named",
          "block, model");
  refused("mesh --preset gpt2 -o " + (folder / "absent/m.svg"), 2, "cannot be written", "fix:");
  CHECK_FALSE(std::filesystem::exists(folder / "m.svg"));

  const How no_graphviz{.env = {"PATH=/nonexistent", "LC_ALL=C.UTF-8"}};
  const Ran absent = tplab(draw("mesh --preset nano-cpu -o " + (folder / "m.svg")), no_graphviz);
  CHECK(absent.exit_code == 4);
  CHECK_THAT(absent.err, Contains("Graphviz is not installed") && Contains("package graphviz") &&
                             Contains(".dot") && Contains("text"));
  const std::string to_svg = "draw mesh --preset nano-cpu -o " + (folder / "m.svg");
  const Ran no_folder = shell("TMPDIR=/nonexistent $TPLAB " + to_svg);
  CHECK(no_folder.exit_code == 4);
  CHECK_THAT(no_folder.err, Contains("temporary file") && Contains("set TMPDIR"));
  // A program that is called dot and is not Graphviz.
  write_file(folder / "dot", "#!/bin/sh\necho hello\n");
  const Ran other = shell("cd " + (folder / ".") +
                          " && chmod +x dot && cp dot neato && PATH=$PWD:$PATH $TPLAB " + to_svg);
  CHECK(other.exit_code == 4);
  CHECK_THAT(other.err, Contains("it wrote no picture"));
  CHECK_FALSE(std::filesystem::exists(folder / "m.svg"));
  CHECK(tplab(draw("mesh --preset nano-cpu"), no_graphviz).exit_code == 0);
  CHECK(tplab(draw("mesh --preset nano-cpu -o " + (folder / "m.dot")), no_graphviz).exit_code == 0);
}

}  // namespace
}  // namespace tplab
