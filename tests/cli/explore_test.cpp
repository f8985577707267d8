// tplab explore's page, opened in a browser: by keyboard and pointer, against the ledger's numbers.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "browser.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
using nlohmann::json;

// A page that this build wrote, and a browser to look at it.
class Look {
 public:
  explicit Look(const std::string& program, const std::vector<std::string>& more = {})
      : browser(program) {
    std::vector<std::string> command = {"explore", "-o", path()};
    command.insert(command.end(), more.begin(), more.end());
    const Ran ran = tplab(command);
    INFO(ran.err);
    REQUIRE(ran.exit_code == 0);
    browser.show_on(1280, 900, "light");
    browser.open(path());
  }
  std::string path() const { return folder_ / "page.html"; }

  size_t steps() { return browser.value("document.querySelectorAll('#steps option').length"); }
  size_t now() {
    return std::stoul(browser.value("document.getElementById('steps').value").get<std::string>());
  }
  // Chooses a run by keys.
  void choose(int tp, bool sp) {
    browser.key(std::to_string(tp));
    const bool is_on = browser.value("document.getElementById('sp').ariaPressed === 'true'");
    if (is_on != sp) browser.key("s");
  }

 private:
  TemporaryFolder folder_;  // before the browser, so that it is there to the end
 public:
  Browser browser;
};

std::vector<json> runs_of_json() {
  const Ran ran = tplab({"explore", "--json"});
  REQUIRE(ran.exit_code == 0);
  return ran.json()["runs"].get<std::vector<json>>();
}

// Where the last step of each run shows other counts than the ledgers had; empty if nowhere.
std::string disagreement(Look& look) {
  for (const json& run : runs_of_json()) {
    look.choose(run["tp"], run["sp"]);
    look.browser.key("End");
    const auto shown = look.browser.value(
        "[...document.querySelectorAll('#counters [data-bytes]')].map(e => ({sync_points:"
        "Number(document.querySelector('#sync b').textContent),"
        "bytes: Number(e.querySelector('b').textContent.replaceAll(',', ''))}))");
    if (std::stod(look.browser.text("#loss")) != run["loss"].get<double>())
      return fmt::format("the loss is shown as {}", look.browser.text("#loss"));
    if (look.steps() != run["steps"] || shown != run["ranks"])
      return fmt::format("tp {}, SP {}: shown {} in {} steps, counted {} in {}", run["tp"].dump(),
                         run["sp"].dump(), shown.dump(), look.steps(), run["ranks"].dump(),
                         run["steps"].dump());
  }
  return "";
}

void check_quiet(const Look& look) {
  CAPTURE(look.browser.requests(), look.browser.complaints());
  CHECK(look.browser.requests() == std::vector<std::string>{"file://" + look.path()});
  CHECK(look.browser.complaints().empty());
}

TEST_CASE("explore: the page opens from disk without a request, and keys step to its end") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  for (const int tp : {2, 4}) {
    look.choose(tp, true);
    look.browser.key("Home");
    CHECK(look.now() == 0);
    const size_t steps = look.steps();
    CHECK(steps > 25);
    for (size_t i = 1; i < steps; ++i) {
      look.browser.key(i % 2 ? "ArrowRight" : " ");
      REQUIRE(look.now() == i);
      // The diagram marks the same step, where it can be seen.
      const json mark = look.browser.value(
          "(() => { const marks = document.querySelectorAll('#diagrams .here');"
          "const a = marks[0].getBoundingClientRect();"
          "const b = document.getElementById('diagrams').getBoundingClientRect();"
          "return {ids: [...marks].map(m => m.id), seen: a.top >= b.top && a.bottom <= b.bottom &&"
          "a.height > 10}; })()");
      REQUIRE(mark["ids"].size() == 1);
      CHECK_THAT(mark["ids"][0].get<std::string>(), Catch::EndsWith(fmt::format("-step-{}", i)));
      CHECK(mark["seen"] == true);
      CHECK_THAT(look.browser.text("#live"), Contains(fmt::format("Step {} of {}", i + 1, steps)));
    }
    look.browser.key("ArrowRight");
    CHECK(look.now() == steps - 1);
    look.browser.key("ArrowLeft");
    CHECK(look.now() == steps - 2);
  }
  check_quiet(look);
}

TEST_CASE("explore: switching tp and SP shows each run's numbers, which are the ledgers'") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  CHECK(disagreement(look).empty());
  check_quiet(look);
  // What is switched is what is seen: ranks, their parts, the collectives, the code beneath S::.
  look.choose(4, false);
  look.browser.value("go(run().steps.findIndex(s => s.site === 'block 0/attn' && s.op))");
  const auto ranks = [&] {
    return look.browser.value("document.querySelectorAll('[data-side=after] .rank').length")
        .get<int>();
  };
  CHECK(ranks() == 4);
  CHECK_THAT(look.browser.text("#title"), Contains("all-reduce"));
  CHECK_THAT(look.browser.text("#code"), Contains("return leave(std::move(y))"));
  look.browser.click("#sp");
  look.browser.value(
      "go(run().steps.findIndex(s => s.site === 'block 0/attn' && s.op === 'reduce_scatter'))");
  CHECK_THAT(look.browser.text("#title"), Contains("reduce-scatter"));
  CHECK_THAT(look.browser.text("#code"), Contains("return scatter_sum(y)"));
  look.browser.click("#tp input[value=\"2\"]");
  CHECK(ranks() == 2);
  CHECK_THAT(look.browser.text("#title"), Contains("reduce-scatter"));  // stays at the same step
  for (const bool sp : {false, true, false}) {
    look.choose(4, sp);
    look.browser.value("go(run().steps.findIndex(s => s.site === 'block 0/mlp/fc'))");
    look.choose(4, !sp);
    CHECK_THAT(look.browser.text("#title"), Contains("block 0/mlp/fc"));
  }
}

TEST_CASE("explore: a page whose numbers are not the run's is noticed") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  std::string page = file_text(look.path());
  const size_t at = page.find("\"wire\":[") + 8;
  REQUIRE(page.find("\"wire\":[") != std::string::npos);
  page[at] = page[at] == '9' ? '8' : '9';
  write_file(look.path(), page);
  look.browser.open(look.path());
  CHECK_THAT(disagreement(look), Contains("tp 2, SP false"));
  CHECK(look.browser.complaints().empty());
  // Nor does a page stay unnoticed that asks for something or complains.
  page = std::regex_replace(page, std::regex("<meta http-equiv[^>]*>"), "");
  page.replace(page.find("</main>"), 7,
               "</main><img src='absent.png' alt=''><script>console.error('so')</script>");
  write_file(look.path(), page);
  look.browser.open(look.path());
  CHECK(look.browser.requests().size() == 2);
  CHECK_FALSE(look.browser.complaints().empty());
}

TEST_CASE("explore: the line shown for a step is that line of the source") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  std::set<std::string> files;
  for (const json& run : runs_of_json()) {
    look.choose(run["tp"], run["sp"]);
    look.browser.key("Home");
    for (size_t i = 0; i < look.steps(); ++i) {
      std::istringstream where(look.browser.text("#code .file"));  // "model/mlp.cpp, line 24"
      std::string file, word, line, wanted;
      int number = 0;
      where >> file >> word >> number;
      file.pop_back();
      files.insert(file);
      std::ifstream source(std::string(TPLAB_SOURCE_DIR) + "/" + file);
      for (int n = 0; n < number; ++n) std::getline(source, wanted);
      CHECK(look.browser.text("#code .line-here") == fmt::format("{}{}", number, wanted));
      look.browser.key("ArrowRight");
    }
  }
  CHECK(files.size() == 6);
}

// The cells of the tensor that is shown: where each is in the whole, and its number, by rank.
std::vector<json> cells(Browser& browser) {
  return browser.value(
      "[...document.querySelectorAll('#values td')].map(td => ({rank: Number(td.closest('.rank')"
      ".dataset.rank), at: /(\\[[^\\]]*\\]) in the whole/.exec(td.ariaLabel)[1],"
      "value: Number(td.dataset.value)}))");
}

// The first cell that is not where the run on one rank has its number; empty if there is none.
std::string misplaced(const std::vector<json>& parts, const std::map<std::string, double>& whole) {
  double largest = 0;
  for (const auto& [at, value] : whole) largest = std::max(largest, std::fabs(value));
  for (const json& cell : parts) {
    const auto found = whole.find(cell["at"]);
    if (found == whole.end()) return cell.dump() + " is nowhere";
    // Ranks add in another order. A number is at most some 20 sums deep, of at most 64 terms of
    // f32: 20 64 2^-24 of the largest, 8e-5, times 10 where a norm divides by a small deviation.
    if (!(std::fabs(cell["value"].get<double>() - found->second) <= 8e-4 * largest))
      return fmt::format("{}, where one rank has {}", cell.dump(), found->second);
  }
  return "";
}

TEST_CASE("explore: a cell's place in the whole is where one rank has the same number") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  std::map<std::string, std::map<std::string, double>> wholes;  // by the step's name
  look.choose(1, false);
  const auto each_tensor = [&](auto&& body) {
    for (size_t i = 0; i < look.steps(); ++i) {
      look.browser.value(fmt::format("go({})", i));
      if (look.browser.value("Boolean(step().op)")) continue;
      body(look.browser.value("step().phase + ' ' + step().site").get<std::string>());
    }
  };
  each_tensor([&](const std::string& name) {
    for (const json& cell : cells(look.browser)) wholes[name][cell["at"]] = cell["value"];
  });
  for (const int tp : {2, 4}) {
    for (const bool sp : {false, true}) {
      CAPTURE(tp, sp);
      look.choose(tp, sp);
      each_tensor([&](const std::string& name) {
        CAPTURE(name);
        const std::vector<json> shown = cells(look.browser);
        std::set<std::string> places;
        for (const json& cell : shown) places.insert(cell["at"]);
        CHECK(places.size() == wholes[name].size());  // nothing is missing
        CHECK(misplaced(shown, wholes[name]).empty());
        if (name == "forward block 0/attn/qkv") {  // the check sees ranks that are swapped
          std::vector<json> swapped = shown;
          for (size_t i = 0; i < shown.size(); ++i)
            swapped[i]["value"] = shown[(i + shown.size() / 2) % shown.size()]["value"];
          CHECK_FALSE(misplaced(swapped, wholes[name]).empty());
        }
      });
    }
  }
}

TEST_CASE("explore: predictions are answered by the run: right, wrong and shown") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  Browser& browser = look.browser;
  for (const int tp : {2, 4}) {
    for (const std::string op : {"all_reduce", "reduce_scatter", "all_gather"}) {
      CAPTURE(tp, op);
      look.choose(tp, op != "all_reduce");
      if (browser.value("state.predict") == false) browser.key("p");
      browser.value("go(run().steps.findIndex(s => s.site === 'block 0/mlp' && s.op === '" + op +
                    "'))");
      CHECK(browser.value("[...document.querySelectorAll('[data-side=after] td')].every(td => "
                          "td.textContent === '?' && td.dataset.value === undefined)") == true);
      // What the reader can work out from the cells before: at the place that is asked about, the
      // sum over the ranks, or the one rank's number.
      const std::string question = browser.text("#quiz legend");
      const std::string at =
          question.substr(question.find('['), question.find(']') - question.find('[') + 1);
      double answer = 0;
      for (const json& cell : cells(browser))
        if (cell["at"] == at && cell["value"].is_number()) answer += cell["value"].get<double>();
      answer *= std::pow(10.0, -browser.value("unitOf(step())").get<int>());
      const auto say = [&](const std::string& text) {
        browser.value("document.getElementById('guess').value = ''");
        browser.click("#guess");
        browser.type(text);
        browser.key("Enter");
        return browser.text("#guess-verdict");
      };
      CHECK_THAT(say("a lot"), Contains("no number"));
      CHECK_THAT(say(fmt::format("{:.3f}", answer + 3 * tp + answer)), Contains("Not so"));
      CHECK(browser.text("[data-side=\"after\"] td") == "?");
      CHECK_THAT(say(fmt::format("{:.2f}", answer)), Contains("Right"));
      CHECK(browser.text("[data-side=\"after\"] td") != "?");
      // Of the choices exactly one is right, in each question.
      for (const std::string id : {"ask-shape", "ask-bytes"}) {
        const int count = browser.value("document.querySelectorAll('#" + id + " button').length");
        CHECK(count >= 2);
        int right = 0;
        for (int i = 1; i <= count; ++i) {
          browser.click(fmt::format("#{} button:nth-of-type({})", id, i));
          right += browser.text("#" + id + "-verdict").find("Right") != std::string::npos;
        }
        CHECK(right == 1);
      }
    }
  }
  // Several parameters in one tensor, and padding: the place is the parameter's.
  look.choose(4, true);
  browser.value("go(run().steps.findIndex(s => s.site === 'small gradients'))");
  const std::string question = browser.text("#quiz legend");
  const std::string place = browser.value(
      "/hold at (\\S+) of the whole/.exec(document.querySelector('#quiz legend').textContent)[1]");
  CAPTURE(question);
  CHECK(browser.value("/^(h\\.0|ln_f)\\..*(weight|bias)\\[[0-7]\\]$/.test('" + place + "')") ==
        true);
  CHECK(browser.value("document.querySelector('td.asked').ariaLabel.includes(' " + place +
                      " in the whole')") == true);
  CHECK_THAT(browser.text("[data-side=before] h4"), Contains("[128], 64 of them padding"));
  look.choose(4, false);
  browser.value("go(run().steps.findIndex(s => s.site === 'embed' && s.op))");
  CHECK(browser.text("[data-side=\"after\"] td") == "?");
  browser.click("#show");
  CHECK(browser.text("[data-side=\"after\"] td") != "?");
  check_quiet(look);
}

TEST_CASE("explore: one rank is told what the sentences are of") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  look.choose(1, false);
  CHECK_THAT(look.browser.text("#why"), Catch::StartsWith("One rank has all of it"));
  look.choose(2, false);
  CHECK_THAT(look.browser.text("#why"), !Contains("One rank has all of it"));
}

TEST_CASE("explore: numbers are seen whole, by pointer and by keyboard") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  Browser& browser = look.browser;
  look.choose(4, false);
  browser.value("go(run().steps.findIndex(s => s.site === 'block 0/attn/qkv'))");
  const auto label = [&](const std::string& cell) {
    return browser.value("document.querySelector('" + cell + "').ariaLabel").get<std::string>();
  };
  const std::string third = "[data-rank=\"2\"] tbody tr:nth-child(2) td:nth-child(4)";
  browser.point_at(third);
  CHECK(browser.text("#detail") == label(third));
  CHECK_THAT(label(third), Contains("rank 2, [0, 1, 2] here, [0, 1, 12] in the whole, varying: "));
  // In among the cells, along a row, down, and out again.
  browser.value("document.querySelector('[data-rank=\"2\"] td').focus()");
  for (const char* const key : {"ArrowRight", "ArrowRight", "ArrowDown"}) browser.key(key);
  CHECK(browser.value("document.activeElement.ariaLabel") == label(third));
  CHECK(browser.text("#detail") == label(third));
  const size_t before = look.now();
  browser.key("Escape");
  browser.key("ArrowRight");
  CHECK(look.now() == before + 1);
  browser.click("#run-3-step-3");  // a box of the diagram
  CHECK(look.now() == 3);
}

TEST_CASE("explore: everything that can be worked has a name, and the focus can be seen") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  Browser& browser = look.browser;
  browser.call("Accessibility.enable");
  const std::set<std::string> worked = {"button",  "radio",  "combobox", "gridcell", "grid",
                                        "textbox", "option", "image",    "region",   "group"};
  for (const char* const key : {"4", "p"}) browser.key(key);
  int named = 0;
  const json tree = browser.call("Accessibility.getFullAXTree");
  for (const json& node : tree["nodes"]) {
    if (node["ignored"] == true) continue;
    bool is_worked = worked.count(node["role"].value("value", "")) > 0;
    for (const json& property : node.value("properties", json::array()))
      is_worked =
          is_worked || (property["name"] == "focusable" && property["value"]["value"] == true);
    if (!is_worked) continue;
    CAPTURE(node.dump());
    CHECK_FALSE(node["name"].value("value", "").empty());
    ++named;
  }
  CHECK(named > 4 * 32);
  std::set<std::string> reached;
  for (int i = 0; i < 40; ++i) {
    browser.key("Tab");
    const json focus = browser.value(
        "(() => { const e = document.activeElement; return {id: e.id, body: e === document.body,"
        "outline: getComputedStyle(e).outlineStyle, width: getComputedStyle(e).outlineWidth}; "
        "})()");
    if (focus["body"] == true) continue;
    CAPTURE(focus.dump());
    if (focus["id"] != "panel") CHECK(focus["outline"] == "solid");
    reached.insert(focus["id"].get<std::string>());
  }
  for (const char* const id : {"sp", "predict", "theme", "next", "steps", "diagrams", "guess"})
    CHECK(reached.count(id) == 1);
}

// The least contrast between a number and its cell, WCAG 2.1's: (L1 + 0.05) / (L2 + 0.05).
double least_contrast(Browser& browser) {
  return browser.value(R"((() => {
    const parse = (text) => text.match(/[\d.]+/g).map(Number);
    const paper = parse(getComputedStyle(document.body).backgroundColor);
    const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255).map((c) =>
      c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
      .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    return Math.min(...[...document.querySelectorAll('td')].map((td) => {
      const style = getComputedStyle(td), [r, g, b, a = 1] = parse(style.backgroundColor);
      const under = [r, g, b].map((c, i) => c * a + paper[i] * (1 - a));
      const [high, low] = [light(under), light(parse(style.color))].sort((x, y) => y - x);
      return (high + 0.05) / (low + 0.05);
    }));
  })())");
}

TEST_CASE("explore: a narrow screen, dark and light") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  Browser& browser = look.browser;
  const auto paper = [&] {
    return browser.value("getComputedStyle(document.body).backgroundColor").get<std::string>();
  };
  const std::string light = paper();
  browser.show_on(360, 700, "dark");
  const std::string dark = paper();
  CHECK(light == "rgb(255, 255, 255)");
  CHECK(dark != light);
  // 4.5 is what WCAG 2.1 asks of text (AA).
  look.choose(4, false);
  for (const char* const scheme : {"light", "dark"}) {
    browser.show_on(360, 700, scheme);
    for (const int step : {2, 6, 9}) {
      browser.value(fmt::format("go({})", step));
      CHECK(least_contrast(browser) >= 4.5);
    }
  }
  browser.key("p");
  for (const int tp : {1, 4}) {
    look.choose(tp, tp > 1);
    browser.key("Home");
    for (size_t i = 0; i < look.steps(); ++i) {
      CAPTURE(tp, i);
      CHECK(browser.value("document.documentElement.scrollWidth").get<int>() <= 360);
      browser.key("ArrowRight");
    }
  }
  browser.key("t");  // dark, whatever the system says
  browser.show_on(1280, 900, "light");
  CHECK(paper() == dark);
  browser.key("t");
  browser.show_on(1280, 900, "dark");
  CHECK(paper() == light);
}

TEST_CASE("explore: pictures of the page for people to look at are left in the build folder") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  Browser& browser = look.browser;
  const std::filesystem::path folder = std::string(TPLAB_BINARY_DIR) + "/explore";
  std::filesystem::create_directories(folder);
  const auto picture = [&](const char* name, int width, const char* scheme, const char* step) {
    browser.show_on(width, width > 500 ? 1000 : 1400, scheme);
    browser.value("window.scrollTo(0, 0)");
    browser.value(fmt::format("go(run().steps.findIndex(s => s.site === '{}'))", step));
    browser.screenshot(folder / (std::string(name) + ".png"));
    CHECK(file_text(folder / (std::string(name) + ".png")).size() > 20'000);
  };
  look.choose(4, false);
  picture("light", 1280, "light", "block 0/attn");
  picture("narrow", 380, "light", "block 0/attn");
  look.choose(1, false);
  picture("wide", 1280, "light", "block 0/mlp/fc");
  look.choose(4, true);
  picture("small-gradients", 1280, "light", "small gradients");
  picture("loss", 1280, "dark", "head/loss");
  look.choose(2, true);
  browser.key("p");
  picture("dark", 1280, "dark", "block 0/attn");
  picture("narrow-dark", 380, "dark", "block 0/mlp/fc");
}

TEST_CASE("explore: other sizes make a page too, and without diagrams") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program, {"--layers", "2", "--width", "16", "--seed", "7", "--no-diagram"});
  look.choose(4, true);
  look.browser.key("End");
  CHECK(look.now() + 1 == look.steps());
  CHECK_THAT(look.browser.text("#diagrams"), Contains("without diagrams"));
  CHECK_THAT(look.browser.text("#model"), Contains("2 blocks of 4 heads, 16 wide"));
  check_quiet(look);
}

TEST_CASE("explore: the page is the same from run to run, and small") {
  const Ran first = tplab({"explore"}), second = tplab({"explore"});
  if (first.exit_code == 4) {
    WARN("skipped: " << first.err);
    return;
  }
  CHECK(first.exit_code == 0);
  CHECK(first.out == second.out);
  CHECK(first.out.size() < 2'000'000);
  CHECK(tplab({"explore", "--seed", "2"}).out != first.out);
}

TEST_CASE("explore: sizes that it cannot show are refused, and Graphviz' absence is told") {
  const auto refused = [](const std::vector<std::string>& more, const std::string& fix) {
    std::vector<std::string> command = {"explore"};
    command.insert(command.end(), more.begin(), more.end());
    const Ran ran = tplab(command);
    CHECK(ran.exit_code == 2);
    CHECK_THAT(ran.err, Contains(fix));
  };
  refused({"--heads", "3"}, "use --heads 4 or 8");
  refused({"--width", "18"}, "a multiple of 4, at most 32");
  refused({"--layers", "5"}, "use 1 to 4");
  refused({"--length", "6"}, "use --length 4 or 8");
  refused({"--layers", "0"}, "--layers");
  refused({"--layers", "4", "--width", "32", "--length", "8"}, "use fewer layers");
  const Ran shown = tplab({"explore"}, {.terminal = true});
  CHECK(shown.exit_code == 2);
  CHECK_THAT(shown.err, Contains("-o explore.html"));
  const Ran bare = shell("PATH=/nowhere \"$TPLAB\" explore");
  CHECK(bare.exit_code == 4);
  CHECK(bare.out.empty());
  CHECK_THAT(bare.err, Contains("graphviz") && Contains("--no-diagram"));
  const Ran plain = shell("PATH=/nowhere \"$TPLAB\" explore --no-diagram");
  CHECK(plain.exit_code == 0);
}

}  // namespace
}  // namespace tplab
